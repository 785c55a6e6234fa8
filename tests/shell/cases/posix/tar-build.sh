#!/usr/bin/env bash
# TIMEOUT: 120
# S-11: a source tree is unpacked with tar and built with make and a C compiler; the result runs.
. "$TEST_LIB/common.sh"
need gcc make tar
tree=$TEST_DIR/src/tree
mkdir -p "$tree"
for number in $(seq 20); do
  echo "int f$number(void) { return $number; }" >"$tree/f$number.c"
done
{
  for number in $(seq 20); do echo "int f$number(void);"; done
  echo '#include <stdio.h>'
  echo 'int main(void) { int sum = 0;'
  for number in $(seq 20); do echo "sum += f$number();"; done
  echo 'printf("%d\n", sum); return 0; }'
} >"$tree/main.c"
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\t$(CC) -o sum $^\n' >"$tree/Makefile"
tar -C "$TEST_DIR/src" -czf "$TEST_DIR/tree.tar.gz" tree
body() {
  tar -xzf "$TEST_DIR/tree.tar.gz"
  make -s -j4 -C tree
  assert_eq "$(./tree/sum)" 210
  make -s -C tree -q && fail "make -q: the program is always linked again" || true
  ar rcs tree/lib.a tree/f*.o && assert_eq "$(ar t tree/lib.a | wc -l)" 20
  tar -cf - tree | tar -tf - >/dev/null
}
each_source body
