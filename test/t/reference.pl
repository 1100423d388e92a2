# The reference, doc/product_upsert.md, names every function, view, setting and SQLSTATE that there is in the
# code, and no function, view or setting that there is not.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

my $root = "$FindBin::RealBin/../..";

sub content
{
	my ($file) = @_;
	open my $handle, '<', $file or die "$file: $!\n";
	local $/;
	return scalar <$handle>;
}

# Sorted, each once.
sub names
{
	my %names = map { $_ => 1 } @_;
	return sort keys %names;
}

my $reference = content("$root/doc/product_upsert.md");
my $script = join '', map { content($_) } glob "$root/product_upsert--*.sql";
my $code = join '', map { content($_) } glob "$root/*.c $root/src/*.[ch]";

my @objects = names($script =~ /^CREATE (?:FUNCTION|VIEW) (\w+)/mg);
my @settings = names($code =~ /DefineCustom\w+Variable\("([^"]+)"/g);

is_deeply([ names($reference =~ /`(product_upsert\w*)[`(]/g) ], \@objects, 'functions and views');
is_deeply([ names($reference =~ /`(product_upsert\.\w+)[` ]/g) ], \@settings, 'settings');
ok($reference =~ qr/^\| `\Q$_\E` \|/m, "$_ is in the table of settings") for @settings;

# By the names that C and PL/pgSQL have for them; where those of several are the same, the first counts.
chomp(my $sharedir = qx(pg_config --sharedir));
my %sqlstates;
for (split /\n/, content("$sharedir/errcodes.txt"))
{
	my ($sqlstate, $macro, $condition) = /^(\w{5})\s+\w\s+(\w+)(?:\s+(\w+))?/ or next;
	$sqlstates{$_} //= $sqlstate for grep { defined } $macro, $condition;
}
while ($code =~ /^#define\s+(ERRCODE_\w+)\s+MAKE_SQLSTATE\(([^)]*)\)/mg)
{
	my ($macro, $characters) = ($1, $2);
	$sqlstates{$macro} = join '', $characters =~ /'(.)'/g;
}

my ($errors) = $reference =~ /^## Errors\n(.*?)^## /ms;
my @raised = names($code =~ /\berrcode\((\w+)\)/g, $script =~ /\bERRCODE = '(\w+)'/g);
cmp_ok(scalar @raised, '>', 20, 'the code raises errors');
for my $name (@raised)
{
	# What the function that raises it catches is no error to its caller.
	next if $script =~ /\bWHEN SQLSTATE '$name'/;
	my $sqlstate = $sqlstates{$name} // 'unknown';
	ok($errors =~ qr/^\|[^|]*\|[^|]*`$sqlstate`/m, "$name, $sqlstate");
}

done_testing();
