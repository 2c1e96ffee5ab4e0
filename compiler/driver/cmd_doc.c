// seerc doc: texts made from the compiler's own tables.
#include "compiler/driver/driver.h"
#include "lang/reference.h"

int command_doc(Invocation *invocation) {
  if (invocation->file_count) return usage_error(invocation, "'doc' takes no file");
  const char *shell = option_text(invocation, "completion");
  if (shell && option_is_set(invocation, "man"))
    return usage_error(invocation, "'--man' and '--completion' exclude each other");
  Writer out = {0};
  if (shell)
    help_print_completion(shell, &out);
  else if (option_is_set(invocation, "man"))
    help_print_man(&out);
  else
    reference_print(invocation->arena, &out);
  int code = driver_write(invocation, &out);
  writer_release(&out);
  return code;
}
