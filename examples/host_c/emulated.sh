#!/bin/sh
# Builds the host for arm64 and runs it in an emulator.
#
#     emulated.sh FOLDER --library libLiteRt.so infer BUNDLE observations.f32 actions.f32
#
# FOLDER gets the program and what the emulator shows of the system; the library is that of the wheel for Linux
# on arm64. Debian's packages for it: make gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross
# qemu-user-static.
set -eu
mkdir -p "$1/proc" "$1/sys/devices/system/cpu"
root=$(cd "$1" && pwd)
shift
ln -sfn /usr/aarch64-linux-gnu/lib "$root/lib"
# What the library wants to know of the processor, which the emulator does not tell.
cat > "$root/proc/cpuinfo" << END
processor : 0
Features : fp asimd aes crc32 atomics fphp asimdhp asimdrdm asimddp
CPU implementer : 0x41
CPU architecture: 8
CPU variant : 0x1
CPU part : 0xd0b
CPU revision : 1
END
for list in possible present; do
  echo 0-0 > "$root/sys/devices/system/cpu/$list"
done
make -s -C "$(dirname "$0")" CC=aarch64-linux-gnu-gcc OUT="$root/host"
exec qemu-aarch64-static -cpu cortex-a76 -L "$root" "$root/host" "$@"
