dnl SPDX-License-Identifier: MIT
dnl AGW_COMPILER_FLAG(VARIABLE, FLAG): appends FLAG to VARIABLE if the compiler
dnl takes it. -Werror turns clang's "unknown flag" warning into an answer.
AC_DEFUN([AGW_COMPILER_FLAG], [
  AS_VAR_PUSHDEF([cached], [agw_cv_cflag_$2])
  AC_CACHE_CHECK([whether $CC accepts $2], [cached], [
    agw_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])
    CFLAGS=$agw_saved_CFLAGS
  ])
  AS_VAR_IF([cached], [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([cached])
])

dnl AGW_LINKER_FLAG(VARIABLE, FLAG): the same for the linker.
AC_DEFUN([AGW_LINKER_FLAG], [
  AS_VAR_PUSHDEF([cached], [agw_cv_ldflag_$2])
  AC_CACHE_CHECK([whether the linker accepts $2], [cached], [
    agw_saved_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])
    LDFLAGS=$agw_saved_LDFLAGS
  ])
  AS_VAR_IF([cached], [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([cached])
])
