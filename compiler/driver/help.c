// Help, the man page and shell completion, all from commands.def and options.def.
#include <ctype.h>
#include <string.h>

#include "compiler/driver/driver.h"

static void print_option_row(const Option *option, Writer *out) {
  Writer left = {0};
  if (option->letter)
    writer_printf(&left, "-%c, --%s", option->letter, option->name);
  else
    writer_printf(&left, "    --%s", option->name);
  if (option->argument) writer_printf(&left, "=%s", option->argument);
  if (left.size > 30)
    writer_printf(out, "  %s\n  %-30s  %s\n", left.text, "", option->help);
  else
    writer_printf(out, "  %-30s  %s\n", left.text, option->help);
  writer_release(&left);
}

// Subcommands of 'data'.
static const struct {
  const char *name, *arguments, *help;
} data_rows[] = {
#define DATA(name, arguments, options, help) {#name, arguments, help},
#include "compiler/driver/data.def"
#undef DATA
};
enum { DATA_ROWS = sizeof data_rows / sizeof *data_rows };

static bool has_subcommands(const Command *command) { return strcmp(command->name, "data") == 0; }

void help_print_all(Writer *out) {
  writer_text(out,
              "usage: seerc COMMAND [OPTION]... [FILE]...\n\nseerc compiles a spec of a RegNet and its training into a "
              "standalone trainer.\n\ncommands:\n");
  for (int i = 0; i < driver_command_count; i++) {
    const Command *command = &driver_commands[i];
    writer_printf(out, "  %-10s%-10s  %s\n", command->name, command->arguments, command->help);
  }
  writer_text(out, "\n'seerc COMMAND --help' lists the options of a command; 'seerc --version' prints the version.\n");
  writer_text(out,
              "exit codes: 0 done, 1 the input is wrong, 2 the command line is wrong, 3 the machine lacks something, "
              "70 a bug of seer\n");
}

void help_print_command(const Command *command, Writer *out) {
  writer_printf(out, "usage: seerc %s [OPTION]...%s%s\n\n%s\n", command->name,
                *command->arguments ? " " : "", command->arguments, command->help);
  if (has_subcommands(command)) {
    writer_text(out, "\nsubcommands:\n");
    for (int i = 0; i < DATA_ROWS; i++)
      writer_printf(out, "  %-8s%-20s  %s\n", data_rows[i].name, data_rows[i].arguments, data_rows[i].help);
  }
  writer_text(out, "\noptions:\n");
  for (int i = 0; i < driver_option_count; i++) {
    if (option_applies(&driver_options[i], command)) print_option_row(&driver_options[i], out);
  }
  if (strstr(command->arguments, "FILE")) writer_text(out, "\nFILE may be '-' for standard input.\n");
}

// In roff a '-' that is typed is written "\-"; a line must not begin with a dot or quote by accident.
static void print_roff(const char *text, Writer *out) {
  if (*text == '.' || *text == '\'') writer_text(out, "\\&");
  for (const char *c = text; *c; c++) {
    if (*c == '-')
      writer_text(out, "\\-");
    else if (*c == '\\')
      writer_text(out, "\\e");
    else
      writer_bytes(out, c, 1);
  }
}

static void print_man_option(const Option *option, Writer *out) {
  writer_text(out, ".TP\n\\fB");
  if (option->letter) writer_printf(out, "\\-%c\\fR, \\fB", option->letter);
  writer_text(out, "\\-\\-");
  print_roff(option->name, out);
  writer_text(out, "\\fR");
  if (option->argument) {
    writer_text(out, "=\\fI");
    print_roff(option->argument, out);
    writer_text(out, "\\fR");
  }
  writer_text(out, "\n");
  print_roff(option->help, out);
  writer_text(out, "\n");
}

void help_print_man(Writer *out) {
  writer_text(out, ".TH SEERC 1 \"\" \"seer " SEER_VERSION
                   "\"\n.SH NAME\nseerc \\- compile a spec of a RegNet and its training into a trainer\n"
                   ".SH SYNOPSIS\n.B seerc\n.I COMMAND\n[\\fIOPTION\\fR]... [\\fIFILE\\fR]...\n.SH COMMANDS\n");
  for (int i = 0; i < driver_command_count; i++) {
    const Command *command = &driver_commands[i];
    writer_printf(out, ".SS \"seerc %s%s%s\"\n", command->name, *command->arguments ? " " : "", command->arguments);
    print_roff(command->help, out);
    writer_text(out, "\n");
    for (int k = 0; has_subcommands(command) && k < DATA_ROWS; k++) {
      writer_text(out, ".TP\n\\fB");
      print_roff(data_rows[k].name, out);
      writer_text(out, "\\fR ");
      print_roff(data_rows[k].arguments, out);
      writer_text(out, "\n");
      print_roff(data_rows[k].help, out);
      writer_text(out, "\n");
    }
    for (int k = 0; k < driver_option_count; k++) {
      bool own = *driver_options[k].commands && option_applies(&driver_options[k], command);
      if (own) print_man_option(&driver_options[k], out);
    }
  }
  writer_text(out, ".SH OPTIONS OF EVERY COMMAND\n");
  for (int k = 0; k < driver_option_count; k++) {
    if (!*driver_options[k].commands) print_man_option(&driver_options[k], out);
  }
  writer_text(out,
              ".SH EXIT STATUS\n0 done; 1 the input is wrong; 2 the command line is wrong; 3 the machine lacks "
              "something; 70 a bug of seer.\n"
              ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nwhen set, messages are not coloured.\n");
}

static void print_choices(const char *choices, Writer *out) {
  for (const char *c = choices; *c; c++) writer_bytes(out, *c == '|' ? " " : c, 1);
}

static bool takes_choice(const Option *option) { return option->argument && strchr(option->argument, '|'); }

static void print_bash(Writer *out) {
  writer_text(out,
              "_seerc() {\n  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options=\n  "
              "COMPREPLY=()\n"
              "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W '");
  for (int i = 0; i < driver_command_count; i++) writer_printf(out, "%s ", driver_commands[i].name);
  writer_text(out,
              "--help --version' -- \"$current\"))\n    return\n  fi\n"
              "  if [ \"$COMP_CWORD\" -eq 2 ] && [ \"${COMP_WORDS[1]}\" = data ] && [[ $current != -* ]]; then\n"
              "    COMPREPLY=($(compgen -W '");
  for (int i = 0; i < DATA_ROWS; i++) writer_printf(out, "%s ", data_rows[i].name);
  writer_text(out,
              "' -- \"$current\"))\n    return\n  fi\n"
              "  [ \"$current\" = '=' ] && current=\n  [ \"$previous\" = '=' ] && "
              "previous=${COMP_WORDS[COMP_CWORD-2]}\n  case $previous in\n");
  for (int k = 0; k < driver_option_count; k++) {
    if (!takes_choice(&driver_options[k])) continue;
    writer_printf(out, "    --%s) COMPREPLY=($(compgen -W '", driver_options[k].name);
    print_choices(driver_options[k].argument, out);
    writer_text(out, "' -- \"$current\")); return ;;\n");
  }
  writer_text(out, "  esac\n  case ${COMP_WORDS[1]} in\n");
  for (int i = 0; i < driver_command_count; i++) {
    writer_printf(out, "    %s) options='", driver_commands[i].name);
    for (int k = 0; k < driver_option_count; k++) {
      if (option_applies(&driver_options[k], &driver_commands[i])) writer_printf(out, "--%s ", driver_options[k].name);
    }
    writer_text(out, "' ;;\n");
  }
  writer_text(
      out,
      "  esac\n  if [[ $current == -* ]]; then\n    COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n  else\n"
      "    COMPREPLY=($(compgen -f -X '!*.seer' -- \"$current\") $(compgen -d -- \"$current\"))\n  fi\n}\n"
      "complete -o filenames -F _seerc seerc\n");
}

// Single quotes end a word of the shell, brackets and colons separate fields of _arguments.
static void print_zsh_text(const char *text, Writer *out) {
  for (const char *c = text; *c; c++) {
    if (*c == '\'')
      writer_text(out, "'\\''");
    else if (strchr("[]:\\", *c))
      writer_printf(out, "\\%c", *c);
    else
      writer_bytes(out, c, 1);
  }
}

static void print_zsh(Writer *out) {
  writer_text(out, "#compdef seerc\n_seerc() {\n  if (( CURRENT == 2 )); then\n    local -a commands=(\n");
  for (int i = 0; i < driver_command_count; i++) {
    writer_printf(out, "      '%s:", driver_commands[i].name);
    print_zsh_text(driver_commands[i].help, out);
    writer_text(out, "'\n");
  }
  writer_text(out,
              "    )\n    _describe command commands\n    return\n  fi\n  local command=$words[2]\n  shift words\n  (( "
              "CURRENT-- ))\n  case $command in\n");
  for (int i = 0; i < driver_command_count; i++) {
    writer_printf(out, "    %s) _arguments", driver_commands[i].name);
    for (int k = 0; k < driver_option_count; k++) {
      const Option *option = &driver_options[k];
      if (!option_applies(option, &driver_commands[i])) continue;
      writer_printf(out, " \\\n        '--%s%s[", option->name, option->argument ? "=" : "");
      print_zsh_text(option->help, out);
      writer_text(out, "]");
      if (option->argument) writer_printf(out, ":%s:", option->name);
      if (takes_choice(option)) {
        writer_text(out, "(");
        print_choices(option->argument, out);
        writer_text(out, ")");
      } else if (option->argument)
        writer_text(out, "_files");
      writer_text(out, "'");
    }
    writer_text(out, " \\\n        '*:file:_files' ;;\n");
  }
  writer_text(out, "  esac\n}\n_seerc \"$@\"\n");
}

static void print_fish_text(const char *text, Writer *out) {
  writer_text(out, "'");
  for (const char *c = text; *c; c++) {
    if (*c == '\'' || *c == '\\') writer_text(out, "\\");
    writer_bytes(out, c, 1);
  }
  writer_text(out, "'");
}

static void print_fish(Writer *out) {
  for (int i = 0; i < driver_command_count; i++) {
    writer_printf(out, "complete -c seerc -n __fish_use_subcommand -a %s -d ", driver_commands[i].name);
    print_fish_text(driver_commands[i].help, out);
    writer_text(out, "\n");
  }
  for (int i = 0; i < driver_command_count; i++) {
    for (int k = 0; k < driver_option_count; k++) {
      const Option *option = &driver_options[k];
      if (!option_applies(option, &driver_commands[i])) continue;
      writer_printf(out, "complete -c seerc -n '__fish_seen_subcommand_from %s' -l %s", driver_commands[i].name,
                    option->name);
      if (option->letter) writer_printf(out, " -s %c", option->letter);
      if (option->argument) writer_text(out, takes_choice(option) ? " -x" : " -r");
      if (takes_choice(option)) {
        writer_text(out, " -a '");
        print_choices(option->argument, out);
        writer_text(out, "'");
      }
      writer_text(out, " -d ");
      print_fish_text(option->help, out);
      writer_text(out, "\n");
    }
  }
}

bool help_print_completion(const char *shell, Writer *out) {
  const struct {
    const char *name;
    void (*print)(Writer *out);
  } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
    if (strcmp(shells[i].name, shell) != 0) continue;
    shells[i].print(out);
    return true;
  }
  return false;
}
