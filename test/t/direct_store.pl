# What the direct store holds on to: nothing after a call, little more for a long array than for a short
# one, and nothing that PostgreSQL would find left behind at the end of a transaction.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node('direct_store');

# Tables whose key is of types that keep something between two comparisons, that have generated columns, so
# that the executor's state is made anew, triggers of all kinds that are fired for rows, large values, and a
# unique index on the key.
my @tables = qw(plain composite triggered large arbitrated);
$node->safe_psql(
	'postgres', q{
	CREATE TYPE pair AS (a int, b text);
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TABLE plain (brand text, serial text, manufacturer text, stock int, note text, CHECK (length(repeat(note, 1000)) > 0));
	CREATE INDEX ON plain (brand, serial, manufacturer);
	CREATE TABLE composite (brand pair, serial int[], manufacturer int4range, stock int, note text,
		twice int GENERATED ALWAYS AS (stock * 2) STORED);
	CREATE INDEX ON composite (brand, serial, manufacturer);
	CREATE TABLE triggered (LIKE plain INCLUDING ALL, CHECK (stock <> 13), tenfold int GENERATED ALWAYS AS (stock * 10) STORED);
	CREATE TRIGGER a BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION nothing();
	CREATE TRIGGER b AFTER INSERT OR UPDATE OF stock ON triggered FOR EACH ROW WHEN (NEW.stock > 0) EXECUTE FUNCTION nothing();
	CREATE CONSTRAINT TRIGGER c AFTER INSERT ON triggered DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION nothing();
	CREATE TABLE large (LIKE plain INCLUDING ALL, body text DEFAULT repeat('body', 1000), doc jsonb DEFAULT jsonb_build_array(repeat('doc', 1000)));
	ALTER TABLE large ALTER body SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL;
	CREATE TABLE arbitrated (LIKE plain, UNIQUE (brand, serial, manufacturer), UNIQUE (note) DEFERRABLE);

	-- the i-th row of a table
	CREATE FUNCTION item(target regclass, i int, stock int) RETURNS jsonb LANGUAGE sql AS $$
		SELECT CASE target WHEN 'composite'::regclass
			THEN jsonb_build_object('brand', jsonb_build_object('a', i, 'b', 'x'), 'serial', jsonb_build_array(i, i + 1), 'manufacturer', '[1,5)')
			ELSE jsonb_build_object('brand', repeat('b', 100), 'serial', i, 'manufacturer', NULL) END
			|| jsonb_build_object('stock', stock, 'note', i)
	$$;
	CREATE FUNCTION items(target regclass, n int, stock int) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_agg(item(target, i, stock)) FROM generate_series(1, n) AS i
	$$;
	-- Calls that create, update and leave alone, some of which are refused
	CREATE PROCEDURE calls(target regclass, n int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. n LOOP
			BEGIN
				PERFORM product_upsert(target, item(target, i % 10, i / 3));
				PERFORM product_upsert(target, jsonb_build_array(item(target, 1, i), item(target, 2, i) - 'stock', item(target, 3, i) - 'note', item(target, 4, CASE WHEN i % 50 = 0 THEN 13 ELSE i END)));
			EXCEPTION WHEN check_violation THEN
				NULL;
			END;
			COMMIT;
		END LOOP;
	END $$;
}
);

# The session's memory: in all, and what is the extension's own.
my $memory = q{
	SELECT sum(total_bytes) || '|' || sum(total_bytes) FILTER (WHERE name LIKE 'product_upsert%') FROM pg_backend_memory_contexts};

sub memory
{
	my ($session) = @_;

	return split /\|/, value($session, $memory);
}

# -- after the call --------------------------------------------------------------------------------

for my $table (@tables)
{
	my $session = session($node);
	value($session, 'SET synchronous_commit = off');
	value($session, "CALL calls('$table', 200)");
	my @before = memory($session);
	value($session, "CALL calls('$table', 2000)");
	my @after = memory($session);
	cmp_ok($after[1] - $before[1], '<=', 16384, "$table: 4,000 calls leave nothing of ours in memory");
	cmp_ok($after[0] - $before[0], '<=', 65536, "$table: nor of others'") or diag("from $before[0] to $after[0]");
	$session->quit;
}

for my $table (@tables)
{
	my $session = session($node);
	my @before;
	$node->safe_psql('postgres', "TRUNCATE $table");

	# The first array of a session also brings PostgreSQL's own caches to their size.
	for my $stock (1, 2)
	{
		is(value($session, "SELECT jsonb_array_length(product_upsert('$table', items('$table', 20000, $stock)))"),
			20000, "$table: 20,000 rows in an array");
		@before = memory($session) if $stock == 1;
	}
	my @after = memory($session);
	cmp_ok($after[1] - $before[1], '<=', 16384, "$table: they leave nothing of ours in memory");
	$session->quit;
}

# -- during the call -------------------------------------------------------------------------------

# A trigger for one row tells how much memory the call has by then.
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE seen (target text, row int, bytes bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		INSERT INTO seen SELECT TG_TABLE_NAME, TG_ARGV[0]::int, sum(total_bytes) FROM pg_backend_memory_contexts;
		RETURN NEW;
	END \$\$;
}
	  . join '',
	map {
		my $table = $_;
		map {
			qq{
	CREATE TRIGGER see_$_ BEFORE INSERT OR UPDATE ON $table FOR EACH ROW WHEN (NEW.note = '$_') EXECUTE FUNCTION see($_);
}
		} 1000, 19000
	} @tables
);
for my $table (@tables)
{
	my $session = session($node);
	for my $write ('created', 'updated')
	{
		$node->safe_psql('postgres', $write eq 'created' ? "TRUNCATE seen, $table" : 'TRUNCATE seen');
		my $bytes = value(
			$session, qq{
			SELECT sum(length(r::text)) FROM jsonb_array_elements(product_upsert('$table', items('$table', 20000, }
			  . ($write eq 'created' ? 1 : 2) . ')))  AS r'
		);
		my ($growth) = value($session, q{SELECT max(bytes) - min(bytes) FROM seen});

		# What grows is the results, the key locks, and the buffers that powers of two make of them.
		cmp_ok(
			$growth, '<=',
			4 * $bytes + 2**22,
			"$table: 18,000 rows more, $write, take little more than their results do"
		) or diag("$growth bytes for results of $bytes");
	}
	$session->quit;
}

# -- at the end of the transaction -------------------------------------------------------------------

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/leak|still active|still referenced|not closed|TRAP:|PANIC:/, 'nothing is left open');
done_testing();
