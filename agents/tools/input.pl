# SPDX-License-Identifier: MIT
# What the tools here have in common: reading their arguments, and saying what is wrong. Only of
# perl-base, which every Debian system has.
use strict;
use warnings;

binmode STDOUT, ':utf8';

# Says why it failed, to the model, and ends.
sub fail {
    print "@_\n";
    exit 1;
}

my %escapes = ('b' => "\b", 'f' => "\f", 'n' => "\n", 'r' => "\r", 't' => "\t");

sub unescape {
    my ($text) = @_;
    # Characters beyond the first 65,536 are pairs of escapes.
    $text =~ s{\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)}
              {chr(0x10000 + ((hex($1) - 0xd800) << 10) + hex($2) - 0xdc00)}ge;
    $text =~ s{\\(?:u([0-9a-fA-F]{4})|(.))}{defined $1 ? chr hex $1 : $escapes{$2} // $2}gse;
    return $text;
}

# The arguments: one JSON object, whose values here are texts and numbers. The gateway has
# checked it against the schema in tools.yaml.
sub arguments {
    local $/;
    my $json = <STDIN> // '';
    my %arguments;
    utf8::decode($json);
    while ($json =~ /"((?:[^"\\]|\\.)*)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?[0-9][0-9.eE+-]*))/gs) {
        $arguments{unescape($1)} = defined $2 ? unescape($2) : $3;
    }
    return %arguments;
}

1;
