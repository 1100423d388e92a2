# The version is told in several files, which must tell the same.
#
# A release is X.Y.Z, a semantic version, as PGXN wants it. X.Y is the version of the SQL objects: the
# control file's, in the name of the script, and what ALTER EXTENSION ... UPDATE goes by. Z counts the
# releases that leave the SQL objects as they are: a new library is all there is to those.

use strict;
use warnings FATAL => 'all';

use FindBin;
use JSON::PP;
use Test::More;

my $root = "$FindBin::RealBin/../..";

sub content
{
	my ($file) = @_;
	open my $handle, '<:raw', "$root/$file" or die "$file: $!\n";
	local $/;
	return scalar <$handle>;
}

# What the pattern's parentheses match first in a file; an empty string if it matches nowhere.
sub found
{
	my ($file, $pattern) = @_;
	return content($file) =~ $pattern ? $1 : '';
}

my ($sql_version) = found('product_upsert.control', qr/^default_version = '([^']*)'$/m);
my $meta = decode_json(content('META.json'));
my $release = $meta->{version};
my $provided = $meta->{provides}{product_upsert};

like($sql_version, qr/^\d+\.\d+$/, 'the control file has the version of the SQL objects, X.Y');
ok(-e "$root/product_upsert--$sql_version.sql", 'there is a script for it');
like($release, qr/^\Q$sql_version\E\.\d+$/, 'META.json has the release, X.Y.Z');
is($provided->{version}, $release, 'for the extension, too');
is(found('CHANGELOG.md', qr/^## (\S+)/m), $release, 'so has CHANGELOG.md');
is(found('debian/changelog', qr/^product-upsert \(([^)]*)-\d+\)/),
	$release, 'and debian/changelog, before the revision');

# What else PGXN must find in META.json.
for my $field (qw(name abstract maintainer license))
{
	like($meta->{$field}, qr/\S/, "META.json has $field");
}
is($meta->{'meta-spec'}{version}, '1.0.0', 'it says which specification it follows');
ok(-s "$root/$provided->{$_}", "and names a $_ that is there") for qw(file docfile);
is($provided->{file}, "product_upsert--$sql_version.sql", 'the file is the script');

done_testing();
