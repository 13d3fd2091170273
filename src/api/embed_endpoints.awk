# SPDX-License-Identifier: MIT
# Turns the table of endpoints in doc/API.md into a C table, for GET /openapi.json. "the same"
# means the row above. `make lint` sees to it that the table has every endpoint.
BEGIN {
    FS = "|"
    print "/* Made from doc/API.md by embed_endpoints.awk; change that file. */"
    print "#include \"api/openapi.h\""
    print ""
    print "const struct endpoint_text endpoint_texts[] = {"
}
function trim(text) {
    gsub(/^ +| +$/, "", text)
    return text
}
/^\| (GET|POST|DELETE) \| `\// {
    path = trim($3)
    gsub(/`/, "", path)
    text = trim($5)
    for (i = 6; i < NF; i++)
        text = text "|" $i
    if (text == "the same")
        text = last
    last = text
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    printf "    {\"%s\", \"%s\", \"%s\"},\n", trim($2), path, text
    count++
}
END {
    print "};"
    printf "const size_t endpoint_text_count = %d;\n", count
}
