"""Running seerc and trainers from the tests of this folder."""
import subprocess


def run_in(folder, *command, code=0, **options):
    """The finished process; another exit code than `code` fails the test and shows the end of what it said."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder, **options)
    if result.returncode != code:
        said = result.stdout[-3000:] + result.stderr[-3000:]
        raise AssertionError(f"{command} gave {result.returncode}, not {code}\n{said}")
    return result
