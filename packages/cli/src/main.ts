/** The `godwit` command. */
import { Command } from 'commander';
import { keygenCommand } from './commands/keygen.ts';

const program = new Command('godwit')
  .description('Connections whose server end can move, live, and that outlive the death of a server.')
  .showHelpAfterError()
  .addCommand(keygenCommand());

await program.parseAsync();
