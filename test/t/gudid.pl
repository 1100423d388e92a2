# Real records: 50,000 medical devices as their makers reported them, many keys more than once. Eight
# clients load them in random order, record by record and in arrays of 100. Every key must get one row.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use POSIX qw(ceil);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

plan skip_all => 'the environment variable GUDID does not name the file of records'
  unless $ENV{GUDID} && -r $ENV{GUDID};

my $records = 50_000;
my $keys = 43_890;
my $clients = 8;
my $array = 100;

my $node = start_node('gudid');
my $file = $node->basedir . '/records';
gunzip($ENV{GUDID} => $file) or die "cannot read the records: $GunzipError";

# A quote and a delimiter that do not occur: each line is one field. The order is random, but the same
# each time.
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE record (n serial, payload jsonb);
	\\copy record (payload) FROM '$file' (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
	CREATE TABLE shuffled AS
	SELECT row_number() OVER (ORDER BY md5(n || 'seed')) - 1 AS position, payload FROM record;
	CREATE UNIQUE INDEX ON shuffled (position);
	ANALYZE shuffled}
);
is($node->safe_psql('postgres', 'SELECT count(*) FROM shuffled'), $records, "$records records");
is(
	$node->safe_psql(
		'postgres', q{
		SELECT count(DISTINCT (payload->>'brand', payload->>'serial', payload->>'manufacturer')) FROM shuffled}
	),
	$keys,
	"with $keys keys"
);

# The clients take turns: one record, or one array of them, after the other. The last turn of some
# finds none.
my %load = (
	'record by record' => [
		1, q{
		INSERT INTO log SELECT r->>'action', (r->'product'->>'id')::bigint
		  FROM (SELECT product_upsert(payload) FROM shuffled WHERE position = :turn) AS calls (r)}
	],
	"in arrays of $array" => [
		$array, qq{
		INSERT INTO log SELECT r->>'action', (r->'product'->>'id')::bigint
		  FROM (SELECT product_upsert(jsonb_agg(payload ORDER BY position)) FROM shuffled
				 WHERE position BETWEEN $array * :turn AND $array * :turn + $array - 1
				HAVING count(*) > 0) AS calls (array_of_r), jsonb_array_elements(array_of_r) r}
	]
);

for my $how (sort keys %load)
{
	my ($size, $sql) = @{ $load{$how} };
	my $calls = ceil($records / $size / $clients);
	my $script = "\\set turn :i * $clients + :client_id\n\\set i :i + 1\n" . $sql =~ s/\s+/ /gr . ";\n";

	$node->safe_psql(
		'postgres', q{
		DROP TABLE IF EXISTS product, log;
		CREATE TABLE product (id bigint GENERATED ALWAYS AS IDENTITY, brand text, serial text, manufacturer text,
			device_id text, catalog_number text, description text, published date, status text);
		CREATE INDEX ON product (serial, brand, manufacturer);
		CREATE TABLE log (action text, id bigint)}
	);
	pgbench_finishes($node, $how, "-c $clients -j 2 -t $calls -D i=0 -M prepared", { a => $script }, $calls * $clients);

	is($node->safe_psql('postgres', 'SELECT count(*) FROM log'), $records, "$how: every record has a result");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM product'), $keys, "$how: $keys rows");
	is($node->safe_psql('postgres', 'SELECT count(DISTINCT (brand, serial, manufacturer)) FROM product'),
		$keys, "$how: each key once");
	is(
		$node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id), max(id) FROM log WHERE action = 'created'}),
		"$keys|$keys|$keys",
		"$how: $keys created, each with the next number"
	);
	is(
		$node->safe_psql(
			'postgres', q{SELECT count(*) FROM log WHERE action NOT IN ('created', 'updated', 'unchanged')}
		),
		0,
		"$how: the others updated or unchanged"
	);
	is(
		$node->safe_psql(
			'postgres', q{
			SELECT count(*) FROM (SELECT to_jsonb(p) - 'id' FROM product p EXCEPT SELECT payload FROM shuffled) s}
		),
		0,
		"$how: each row is one of the records, to the last field"
	);
}

$node->stop;
done_testing();
