"""What all back ends share: options, quoting, and what a launch consists of."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import tempfile
import typing

from sagan_jax import errors, files

# Names of pods are 63 characters at most; schedulers append to ours.
_NAME = re.compile(r'[a-z]([-a-z0-9]{0,22}[a-z0-9])?')
# What breaks a line of YAML, or may not be in it.
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')


@dataclasses.dataclass(frozen=True)
class Plan:
  """Files, and the commands that hand them to a scheduler.

  An argument of a command that equals the name of a file stands for its path.
  """

  files: dict[str, str]  # {name: text}
  commands: list[list[str]]

  def write(self, directory):
    """Writes the files; returns the commands, with the files' paths.

    Args:
      directory: as the user wrote it; made if it does not exist.

    Raises:
      UserError: if they cannot be written.
    """
    directory = files.as_path(directory)
    with files.writing(directory):
      directory.mkdir(parents=True, exist_ok=True)
    for name, text in self.files.items():
      files.write(directory / name, text)
    return [
      [
        os.path.join(directory, argument)
        if argument in self.files
        else argument
        for argument in command
      ]
      for command in self.commands
    ]

  def submit(self, directory=None):
    """Writes the files and runs the commands, one after another.

    Args:
      directory: of the files; None for a temporary one.

    Raises:
      UserError: if one cannot be run or fails; later ones are not run.
    """
    if directory is None:
      with tempfile.TemporaryDirectory(prefix='sagan-jax-launch-') as directory:
        return self.submit(directory)
    for command in self.write(directory):
      try:
        code = subprocess.run(command, check=False).returncode
      except FileNotFoundError as e:
        raise errors.UserError(
          f'there is no {command[0]} on this machine; install it, or drop '
          '--submit and run elsewhere what is printed'
        ) from e
      if code:
        raise errors.UserError(
          f'{command[0]} ended with exit code {code}: {shlex.join(command)}'
        )

  def script(self):
    """Returns a shell script that writes the files here and runs the commands.

    It does what `submit` does, but leaves the files in the working directory.
    """
    parts = []
    for name, text in self.files.items():
      end = 'END_OF_FILE'
      while end in text:
        end += '_'
      parts.append(f"cat > {name} <<'{end}'\n{text}{end}\n")
    parts += [f'{shlex.join(command)}\n' for command in self.commands]
    return '\n'.join(parts)


def option(text, default: typing.Any = dataclasses.MISSING) -> typing.Any:
  """A field of a back end's options: its help, and its default if it has one.

  The field's type is that of the flag; a bool is a switch.
  """
  return dataclasses.field(default=default, metadata={'help': text})


def shared_workdir_option() -> typing.Any:
  """The option that allows a local work directory."""
  return option(
    'the local work directory is on a file system that all workers share and '
    'that outlives them',
    False,
  )


def names(name, commands):
  """The names of the jobs that run the commands."""
  if len(commands) == 1:
    return [name]
  return [f'{name}-{i}' for i in range(len(commands))]


def check_name(name):
  """Raises `UserError` if a scheduler would refuse a name."""
  if not _NAME.fullmatch(name):
    raise errors.UserError(
      f'{name!r} is no name of a job; it has up to 24 lower-case letters, '
      'digits and dashes, and begins with a letter; set --name'
    )


def check_at_least(low, **values):
  """Raises `UserError` if an option that is set is below a bound."""
  for name, value in values.items():
    if value is not None and value < low:
      raise errors.UserError(f'--{name}={value} must be {low} or more')


def workdir(command):
  """Returns the --workdir of a command, or None."""
  found = None
  for argument, following in zip(command, [*command[1:], None], strict=True):
    if argument.startswith('--workdir='):
      found = argument.partition('=')[2]
    elif argument == '--workdir':
      found = following
  return found


def check_remote_workdir(command, options):
  """Refuses a work directory on a disk that goes with its machine.

  Args:
    command: a list of arguments.
    options: of a back end whose workers share no file system.

  Raises:
    UserError: if the work directory is local, and not said to be shared.
  """
  path = workdir(command)
  if path is None or files.is_remote(path) or options.shared_workdir:
    return
  raise errors.UserError(
    f'--workdir={path} is local to each worker, so the workers would not share '
    'it and a preempted run could not resume; use --workdir=gs://BUCKET/RUN, '
    'or set --shared_workdir if it is on a shared file system'
  )


def quote(argument):
  """Quotes an argument for bash, on one line.

  As `shlex.quote`, but what a line of a YAML file cannot hold is escaped.
  """
  if not _UNPRINTABLE.search(argument):
    return shlex.quote(argument)
  escaped = argument.replace('\\', '\\\\').replace("'", "\\'")
  return "$'" + _UNPRINTABLE.sub(_as_bytes, escaped) + "'"


def _as_bytes(match):
  # By bytes, since \u would depend on the locale.
  return ''.join(f'\\x{byte:02x}' for byte in match[0].encode())


def join(command):
  """Quotes a command for bash, on one line."""
  return ' '.join(map(quote, command))


def yaml_string(text):
  """Quotes a string for YAML."""
  quoted = json.dumps(text, ensure_ascii=False)  # JSON is YAML, but for these.
  return _UNPRINTABLE.sub(lambda match: f'\\u{ord(match[0]):04x}', quoted)


def yaml_block(text, indent):
  """Writes lines as the body of a YAML block (`|`), indented."""
  return ''.join(
    f'{" " * indent}{line}\n' if line else '\n'
    for line in text.rstrip('\n').split('\n')
  )
