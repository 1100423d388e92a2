# What protects a table is dumped and restored with it: guard, declared key, its condition and lookup index, also of a
# partitioned table and with the extension in another schema. Duplicates that were there before can be restored.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();

# What a dump says, but for the token that each has of its own, and the comments with the version of pg_dump
sub dump_of
{
	my ($database) = @_;
	my ($stdout, $stderr) = run_command([ 'pg_dump', '--no-sync', $node->connstr($database) ]);

	is($stderr, '', "pg_dump of $database");
	return $stdout =~ s/^\\(?:un)?restrict .*\n//gmr =~ s/^--.*\n//gmr;
}

sub fails_with
{
	my ($database, $sql, $sqlstate, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (undef, undef, $stderr) = $node->psql($database, $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	like($stderr, qr/ERROR:  $sqlstate:/, $name);
	return;
}

# Passes if everything in the database is as it was made by make_source().
sub is_restored
{
	my ($database, $schema, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(dump_of($database), dump_of('source'), "$name: a dump of it is like the dump");
	$node->command_like(
		[ 'psql', '-X', '-d', $node->connstr($database), '-c', '\d product' ],
		qr/product_upsert_guard AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION .*product_upsert_guard\('brand', 'serial', 'manufacturer'\)/,
		"$name: \\d shows the guard"
	);
	is(
		$node->safe_psql(
			$database,
			qq{SELECT $schema.product_upsert_key('product'), $schema.product_upsert_key('item'), $schema.product_upsert_key('item_1')}
		),
		'{brand,serial,manufacturer}|{tenant,sku}|{tenant,sku}',
		"$name: the key is declared"
	);
	is(
		$node->safe_psql(
			$database,
			qq{SELECT $schema.product_upsert_lookup_index('product'), $schema.product_upsert_lookup_index('item')}
		),
		'product_product_upsert_hash_idx|item_product_upsert_hash_idx',
		"$name: the lookup index is there"
	);
	is($node->safe_psql($database, qq{SELECT rows FROM $schema.product_upsert_duplicates('product')}),
		'[1, 2]', "$name: so are the duplicates");
	is(
		$node->safe_psql(
			$database,
			q{SELECT tgname, tgrelid::regclass, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY tgrelid::regclass::text}
		),
		"product_upsert_guard|item|O\nproduct_upsert_guard|live|O\nproduct_upsert_guard|product|A",
		"$name: each guard once, and enabled as it was"
	);

	is(
		$node->safe_psql(
			$database,
			qq{SELECT $schema.product_upsert_condition(t::regclass), $schema.product_upsert_lookup_index(t::regclass) FROM unnest('{live,live_1}'::text[]) AS t}
		),
		"(state = ANY (ARRAY['new'::text, 'sold'::text]))|live_product_upsert_hash_idx\n"
		  . "(state = ANY (ARRAY['new'::text, 'sold'::text]))|live_1_product_upsert_hash_idx",
		"$name: the condition is declared, and the index with it serves"
	);
	fails_with($database, q{UPDATE live SET state = 'new'}, 23505, "$name: what comes into the condition is checked");
	is(
		$node->safe_psql(
			$database,
			qq{SELECT $schema.product_upsert('live', '{"sku": "s", "part": 1, "state": "sold"}') ->> 'action'}
		),
		'created',
		"$name: product_upsert goes by the condition"
	);
	fails_with($database, q{INSERT INTO product VALUES (10, 'b', '2', 'm')}, 23505,
		"$name: a new duplicate is refused");
	fails_with($database, q{INSERT INTO product VALUES (10, 'b', '1', 'm')},
		23505, "$name: one of an old duplicate too");
	fails_with($database, q{INSERT INTO item VALUES (2, 't', 's', 5)}, 23505, "$name: one in another partition");
	fails_with(
		$database, q{INSERT INTO item_2 (part, tenant, sku) VALUES (2, 't', 's')},
		23505, "$name: one that is written straight into it"
	);
	is(
		$node->safe_psql(
			$database,
			qq{SELECT $schema.product_upsert('item', '{"part": 1, "tenant": "t", "sku": "s", "stock": 7}') -> 'previous'}
		),
		'{"stock": 1}',
		"$name: product_upsert goes by the declared key"
	);
	is(
		$node->safe_psql(
			$database, qq{SELECT kept -> 'id', filled FROM $schema.product_upsert_merge_duplicates('product')}
		),
		'1|{price}',
		"$name: duplicates can be merged"
	);
	return;
}

# The schema must be one that can be written without quotes, or quoted already.
sub make_source
{
	my ($schema) = @_;

	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS source');
	$node->safe_psql('postgres', 'CREATE DATABASE source');
	$node->safe_psql(
		'source', qq{
		CREATE SCHEMA IF NOT EXISTS $schema;
		CREATE EXTENSION product_upsert SCHEMA $schema;
		CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, price int);
		INSERT INTO product VALUES (1, 'b', '1', 'm', NULL), (2, 'b', '1', 'm', 5), (3, 'b', '2', 'm', 7);
		SELECT $schema.product_upsert_protect('product');
		ALTER TABLE product ENABLE ALWAYS TRIGGER product_upsert_guard;
		CREATE TABLE item (part int, tenant text, sku text, stock int) PARTITION BY LIST (part);
		CREATE TABLE item_1 PARTITION OF item FOR VALUES IN (1);
		CREATE TABLE item_2 (stock int, sku text, tenant text, part int);
		ALTER TABLE item ATTACH PARTITION item_2 FOR VALUES IN (2);
		INSERT INTO item VALUES (1, 't', 's', 1), (2, 't', NULL, 2);
		SELECT $schema.product_upsert_protect('item', '{tenant,sku}');
		CREATE TABLE live (part int, sku text, state text) PARTITION BY LIST (part);
		CREATE TABLE live_1 (state text, sku text, part int);
		ALTER TABLE live ATTACH PARTITION live_1 FOR VALUES IN (1);
		INSERT INTO live VALUES (1, 's', 'gone'), (1, 's', NULL);
		SELECT $schema.product_upsert_protect('live', '{sku}', \$\$state IN ('new', 'sold')\$\$);
	}
	);
	return;
}

for my $schema ('public', '"Ext, 2"')
{
	make_source($schema);

	run_log([ 'pg_dump', '--no-sync', '--file', "$dir/plain.sql", $node->connstr('source') ]) or die;
	unlike(
		slurp_file("$dir/plain.sql"),
		qr/CREATE (?:OR REPLACE )?(?:FUNCTION|VIEW)/,
		"$schema: what belongs to the extension is not in the dump"
	);
	$node->safe_psql('postgres', 'CREATE DATABASE plain');
	$node->command_ok(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dir/plain.sql" ],
		"$schema: plain format is restored");
	is_restored('plain', $schema, "$schema, plain");

	run_log([ 'pg_dump', '--no-sync', '--format=custom', '--file', "$dir/custom", $node->connstr('source') ]) or die;
	$node->safe_psql('postgres', 'CREATE DATABASE custom');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '--jobs=2', '-d', $node->connstr('custom'), "$dir/custom" ],
		"$schema: custom format is restored");
	is_restored('custom', $schema, "$schema, custom");

	$node->safe_psql('postgres', "DROP DATABASE $_") for 'plain', 'custom';
}

$node->stop;
done_testing();
