#!/usr/bin/env bash
# Makes .venv with all of requirements.txt, and sees to it that images can be
# rendered. Can be repeated; `make` calls it only when something changed.
#
#   [PYTHON=python3.12] scripts/setup.sh [cpu|gpu]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
device=${1:-cpu}
# What EGL needs to draw, on a CPU as well as on a GPU.
graphics=(libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri)

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Installs Debian packages where that is allowed, and says how where not.
install_packages() {
  if ((EUID)) || ! command -v apt-get >/dev/null; then
    fail "System packages are missing. On Debian or Ubuntu:" \
      "  sudo apt-get update && sudo apt-get install -y $*" \
      "Then start the same command again."
  fi
  echo "Installing system packages: $*"
  # An old package list can name files that are gone, hence the update.
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "$@" >/dev/null
}

supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    2>/dev/null
}

find_python() {
  local name names=(python3 python3.13 python3.12 python3.11)
  if [[ -n ${PYTHON:-} ]]; then
    names=("$PYTHON")
  fi
  for name in "${names[@]}"; do
    if supported "$name"; then
      echo "$name"
      return
    fi
  done
  fail "Python 3.11, 3.12 or 3.13 is needed, and not found as:" \
    "  ${names[*]}" \
    "Name one: make PYTHON=/path/to/python3.12 ..."
}

make_venv() {
  local python
  python=$(find_python)
  # Debian and Ubuntu ship this part of Python as a package of its own. A
  # machine without it will lack the graphics too: one line for both.
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    install_packages "$("$python" -c \
      'import sys; print("python3.%d-venv" % sys.version_info[1])')" \
      "${graphics[@]}"
  fi
  echo "Making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
}

install_requirements() {
  local pip=(.venv/bin/python -m pip install -qq --disable-pip-version-check)
  local packages=(--requirement requirements.txt)
  echo "Installing requirements.txt for $device (minutes the first time)"
  if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'
  then
    # dm_control asks for labmaze, which has no build for Python 3.13. Only its
    # mazes use it, so here it comes alone, beside what else it asks for.
    "${pip[@]}" --no-deps "$(grep '^dm_control==' requirements.txt)"
    grep -v '^dm_control==' requirements.txt >.venv/requirements.txt
    packages=(--no-warn-conflicts --requirement .venv/requirements.txt
      dm-env dm-tree glfw lxml pyopengl pyparsing requests scipy)
  fi
  if [[ $device == gpu ]]; then
    packages+=("$(sed -n 's/^tensorflow==/tensorflow[and-cuda]==/p' \
      requirements.txt)")
  fi
  "${pip[@]}" "${packages[@]}"
}

can_render() {
  .venv/bin/python - <<'EOF'
import sys

from planet_tf.control import rendering

try:
    rendering.choose_backend()
except RuntimeError as error:
    sys.exit(str(error))
EOF
}

see_to_rendering() {
  local problem
  problem=$(can_render 2>&1) && return
  if ((EUID)); then
    printf '%s\n\n' "$problem" >&2
  fi
  install_packages "${graphics[@]}"
  can_render 2>/dev/null && return
  # Where EGL fails all the same; the newest releases no longer have it.
  (install_packages libosmesa6) || true
  can_render
}

# Both fail where making .venv was interrupted, or its Python has gone.
if ! supported .venv/bin/python || ! .venv/bin/python -m pip -V >/dev/null 2>&1
then
  make_venv
fi
install_requirements
see_to_rendering
if [[ $device == gpu ]] && ! TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -c \
  'import tensorflow as tf; assert tf.config.list_physical_devices("GPU")' \
  2>/dev/null; then
  echo "TensorFlow does not see the GPU, and would train on the CPU. Is the" \
    "NVIDIA driver at least 525, and CUDA_VISIBLE_DEVICES unset?" >&2
fi
echo "Ready."
