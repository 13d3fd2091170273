# SPDX-License-Identifier: MIT
# Turns the migration files named on the command line, in that order, into a C table.
BEGIN {
    print "/* Made from sql/ by embed_sql.awk; change those files. */"
    print "#include \"store/migrate.h\""
    print ""
    print "const struct migration migrations[] = {"
}
FNR == 1 {
    if (count++)
        print "    },"
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.sql$/, "", name)
    printf "    {%d, \"%s\",\n", substr(name, 1, 4) + 0, name
}
{
    gsub(/\\/, "&&")
    gsub(/"/, "\\\\&")
    printf "     \"%s\\n\"\n", $0
}
END {
    print "    },"
    print "};"
    printf "const size_t migration_count = %d;\n", count
}
