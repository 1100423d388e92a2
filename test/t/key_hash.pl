# The hash of a key, by which an application may choose a server: it is what the reference promises, and what
# example/key_hash.py computes without one.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $node = start_node('key_hash');

my ($promise) = slurp_file("$root/doc/product_upsert.md") =~ /^### product_upsert_hash\n(.*?)^### /ms;
my @vectors = $promise =~ /^\| `(.*)` \| `(-?\d+)` \|$/mg;
cmp_ok(scalar @vectors, '>=', 20, 'the reference has test vectors');
while (my ($key, $hash) = splice @vectors, 0, 2)
{
	is($node->safe_psql('postgres', "SELECT product_upsert_hash($key)"), $hash, $key);
}

# Values of 0 to 100 bytes, of characters of 1 to 4 bytes, NULL at every place.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE key AS
SELECT n, nullif(left(repeat('aé漢😀' || md5(n::text), 2), n % 50), left('aé漢', n % 11)) AS brand,
       CASE WHEN n % 7 <> 0 THEN left(md5(n::text) || md5(n::text), n % 65) END AS serial,
       (CASE WHEN n % 5 <> 0 THEN n::text END)::varchar(10) AS manufacturer
  FROM generate_series(1, 20000) AS n
SQL
my $ends = 'SELECT DISTINCT octet_length(brand) % 12, octet_length(serial) % 12 FROM key';
is($node->safe_psql('postgres', "SELECT count(*) FROM ($ends) AS ends"),
	13 * 13, 'they end at every place in a block of the hash');

my $program = <<'PYTHON';
import json, sys
from key_hash import key_hash
for line in sys.stdin:
    print(key_hash(*json.loads(line)))
PYTHON
my $keys = $node->safe_psql('postgres', 'SELECT jsonb_build_array(brand, serial, manufacturer) FROM key ORDER BY n');
my $expected =
  $node->safe_psql('postgres', 'SELECT product_upsert_hash(brand, serial, manufacturer) FROM key ORDER BY n');
{
	local $ENV{PYTHONPATH} = "$root/example";
	local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
	IPC::Run::run([ 'python3', '-c', $program ], '<', \$keys, '>', \my $computed, '2>', \my $errors);
	is($errors, '', 'key_hash.py computes');
	ok($computed eq "$expected\n", 'and gets what the server does, 20,000 times');
}

# What the promise leaves out: an enum's values are hashed by their OIDs, so that a copy of the type has other ones.
$node->safe_psql('postgres', q{CREATE TYPE a AS ENUM ('x'); CREATE TYPE b AS ENUM ('x')});
is($node->safe_psql('postgres', q{SELECT product_upsert_hash('x'::a) = product_upsert_hash('x'::b)}),
	'f', 'not of an enum');

done_testing();
