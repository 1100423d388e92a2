# A bulk load of very many rows: it takes no more memory than one of a few, anyone can see how far it is, and
# it can be ended at any moment, without a trace.
#
# Here these are 200,000 rows, so that the test is done in good time. The environment variable BULK_ROWS makes them
# a million, or whatever it says.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $rows = $ENV{BULK_ROWS} // 200_000;
my $few = $rows / 10;

# What the memory may differ by between a few rows and all of them. A leak of one small allocation a row, which is
# 16 bytes at least, takes more than this.
my $allowance = 1024 * 1024;

my $node = start_node(
	'bulk',
	shared_buffers => '64MB',
	wal_level => 'minimal',
	max_wal_senders => 0,
	fsync => 'off',
	max_wal_size => '4GB',
	statement_timeout => '180s'
);

create_product($node);

# The sources have gates: the load stands still there until the test opens them. One is after a few rows, the other
# after the last.
use constant GATE_AFTER_FEW => 1;
use constant GATE_AFTER_ALL => 2;

$node->safe_psql(
	'postgres', qq{
	CREATE TABLE delivery AS
	SELECT 'b' || i % 7 AS brand, i::text AS serial, 'm' AS manufacturer, 'name of ' || i AS name, i / 4::float8 AS price, i AS stock
	  FROM generate_series(1, $rows) AS i;
	CREATE FUNCTION gate(n int) RETURNS SETOF delivery LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM pg_advisory_lock_shared(n), pg_advisory_unlock_shared(n);
	END \$\$;
	CREATE VIEW feed AS
	SELECT * FROM delivery WHERE stock <= $few
	UNION ALL SELECT * FROM gate(${\GATE_AFTER_FEW})
	UNION ALL SELECT * FROM delivery WHERE stock > $few
	UNION ALL SELECT * FROM gate(${\GATE_AFTER_ALL});
	CREATE VIEW dearer_feed AS SELECT brand, serial, manufacturer, price + 1 AS price FROM feed;
	CREATE VIEW payload_feed AS SELECT jsonb_build_object('brand', brand, 'serial', serial, 'manufacturer', manufacturer, 'price', price) AS payload FROM feed;
	-- never ends
	CREATE VIEW endless_feed AS
	SELECT 'endless' AS brand, i::text AS serial, 'm' AS manufacturer FROM (SELECT generate_series(1, 1000000000000) AS i) AS s;
}
);

my $loader = session($node);
my $keeper = session($node);
my $watcher = session($node);
my $loader_pid = value($loader, 'SELECT pg_backend_pid()');

# What a second session sees of the load
sub progress
{
	return value(
		$watcher, qq{
		SELECT relid::regclass, command, type, tuples_processed FROM pg_stat_progress_copy WHERE pid = $loader_pid}
	);
}

sub table_is_free
{
	return value(
		$watcher, q{
		BEGIN;
		LOCK TABLE product IN ACCESS EXCLUSIVE MODE NOWAIT;
		COMMIT;
		SELECT 'free'}
	);
}

# The memory that the loader has for itself, in bytes. What it had to spare before would hide what it takes, so
# whatever else there is to do is done in other sessions.
sub memory
{
	my ($kilobytes) = slurp_file("/proc/$loader_pid/status") =~ /^RssAnon:\s+(\d+) kB$/m;

	return $kilobytes * 1024;
}

sub close_gates
{
	value($keeper, "SELECT pg_advisory_lock($_)") for GATE_AFTER_FEW, GATE_AFTER_ALL;
	return;
}

sub open_gate
{
	my ($gate) = @_;

	value($keeper, "SELECT pg_advisory_unlock($gate)");
	return;
}

# Returns when the load has come to the gate.
sub wait_for_gate
{
	my ($gate) = @_;

	$node->poll_query_until(
		'postgres', qq{
		SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = $loader_pid AND locktype = 'advisory' AND objid = $gate)}
	) or die "the load does not come to gate $gate";
	return;
}

# -- memory and progress ----------------------------------------------------------------------------------

# Loads the source; passes if it comes to this, and takes no more memory for all rows than for a few.
sub load
{
	my ($source, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($memory_few, $memory_all);

	close_gates();
	start_call($loader, "SELECT * FROM product_upsert_from('$source', 'product')");
	wait_for_gate(GATE_AFTER_FEW);
	$memory_few = memory();
	is(progress(), "product|COPY FROM|CALLBACK|$few", "$name: a few rows are processed");
	open_gate(GATE_AFTER_FEW);
	wait_for_gate(GATE_AFTER_ALL);
	$memory_all = memory();
	is(progress(), "product|COPY FROM|CALLBACK|$rows", "$name: all of them");
	open_gate(GATE_AFTER_ALL);
	is(finish_call($loader), $expected, "$name: what the rows came to");
	is(progress(), '', "$name: no progress is shown after the end");
	note("$name: $memory_few bytes after $few rows, $memory_all after $rows");
	cmp_ok($memory_all - $memory_few, '<', $allowance, "$name: all rows take no more memory than a few");
	return;
}

load('feed', "$rows|0|0|0|0", 'created');
is(
	value(
		$watcher, 'SELECT count(*), count(DISTINCT (brand, serial, manufacturer)), sum(price * 4)::bigint FROM product'
	),
	value($watcher, "SELECT $rows, $rows, sum(price * 4)::bigint FROM delivery"),
	'every row once'
);
$node->safe_psql('postgres', 'ANALYZE product');
load('feed', "0|0|$rows|0|0", 'unchanged');
load('dearer_feed', "0|$rows|0|0|0", 'updated');
load('payload_feed', "0|$rows|0|0|0", 'updated from jsonb');
is(
	value($watcher, 'SELECT count(*), sum(price * 4)::bigint FROM product'),
	value($watcher, "SELECT $rows, sum(price * 4)::bigint FROM delivery"),
	'every row as it was delivered last'
);

# A partition is shown as itself.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE parted (brand text, serial text, manufacturer text, name text, price numeric, stock int) PARTITION BY RANGE (stock);
	CREATE INDEX ON parted (brand, serial, manufacturer);
	CREATE TABLE parted_all PARTITION OF parted DEFAULT;
	CREATE VIEW short_feed AS SELECT * FROM delivery WHERE stock <= 10 UNION ALL SELECT * FROM gate(1)}
);
close_gates();
start_call($loader, q{SELECT * FROM product_upsert_from('short_feed', 'parted_all')});
wait_for_gate(GATE_AFTER_FEW);
is(progress(), 'parted_all|COPY FROM|CALLBACK|10', 'the progress of a load into a partition');
open_gate($_) for GATE_AFTER_FEW, GATE_AFTER_ALL;
is(finish_call($loader), '10|0|0|0|0', 'it is loaded');

# -- ended before its time ------------------------------------------------------------------------------------

my $before = value($loader, 'SELECT count(*), sum(price) FROM product');

# Passes if nothing is left of the load that has ended.
sub leaves_nothing
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(progress(), '', "$name: no progress is shown");
	is(table_is_free(), 'free', "$name: the table is free");
	is(value($watcher, 'SELECT count(*), sum(price) FROM product'), $before, "$name: the table is as it was");
	is(value($loader, q{SELECT * FROM product_upsert_from('short_feed', 'product')}),
		'0|0|10|0|0', "$name: the session can load");
	return;
}

value($loader,
	q{UPDATE product SET price = (SELECT price FROM delivery d WHERE d.serial = product.serial) WHERE serial::int <= 10}
);

# In the midst of the rows
my $first;

start_call($loader, q{SELECT * FROM product_upsert_from('endless_feed', 'product')});
$node->poll_query_until('postgres', "SELECT tuples_processed > 0 FROM pg_stat_progress_copy WHERE pid = $loader_pid")
  or die 'no row is processed';
$first = (split /\|/, progress())[3];
$node->poll_query_until('postgres',
	"SELECT tuples_processed > $first FROM pg_stat_progress_copy WHERE pid = $loader_pid")
  or die 'no more rows are processed';
pass('the number of rows grows');
is(value($watcher, "SELECT pg_cancel_backend($loader_pid)"), 't', 'a load is cancelled');
finish_call($loader, '57014', 'it ends');
leaves_nothing('cancelled');

# By the clock
value($loader, q{SET statement_timeout = '200ms'});
fails($loader, q{SELECT * FROM product_upsert_from('endless_feed', 'product')},
	'57014', 'a load that takes too long ends');
value($loader, 'RESET statement_timeout');
leaves_nothing('out of time');

# By a row that does not fit, the last but one of its source
$node->safe_psql(
	'postgres', qq{
	CREATE VIEW wrong_feed AS SELECT brand, serial, manufacturer, 0 AS price, stock::bigint * CASE stock WHEN $few - 1 THEN 10000000000 ELSE 1 END AS stock
	  FROM delivery WHERE stock <= $few ORDER BY delivery.stock}
);
like(
	fails(
		$loader, q{SELECT * FROM product_upsert_from('wrong_feed', 'product')}, '22003', 'a load of a wrong row ends'
	),
	qr/^CONTEXT:.*column "stock" of row @{[ $few - 1 ]} of "wrong_feed"/ms,
	'the row is named'
);
leaves_nothing('wrong');

# Below a savepoint, whose transaction goes on
value($loader, q{BEGIN; UPDATE product SET name = 'kept' WHERE serial = '1'; SAVEPOINT s});
start_call($loader, q{SELECT * FROM product_upsert_from('endless_feed', 'product')});
$node->poll_query_until('postgres', "SELECT tuples_processed > 0 FROM pg_stat_progress_copy WHERE pid = $loader_pid")
  or die;
value($watcher, "SELECT pg_cancel_backend($loader_pid)");
finish_call($loader, '57014', 'a load below a savepoint is cancelled');
is(progress(), '', 'its progress is gone at once');
value($loader, 'ROLLBACK TO s');
is(whole_table_locked($loader, 'product'), 0, 'the lock of the table is given back');
is(value($loader, q{SELECT * FROM product_upsert_from('short_feed', 'product')}),
	'0|1|9|0|0', 'the transaction can load');
value($loader, 'COMMIT');
is(value($loader, q{SELECT name FROM product WHERE serial = '1'}), 'name of 1', 'what it loaded stays');
leaves_nothing('after the savepoint');

# While it waits for the table: it has not begun, and shows nothing.
value($keeper, 'BEGIN; LOCK TABLE product IN ROW EXCLUSIVE MODE');
start_call($loader, q{SELECT * FROM product_upsert_from('delivery', 'product')});
wait_until_waiting($node, 1, 'relation');
is(progress(), '', 'a load that waits for the table shows no progress');
value($watcher, "SELECT pg_cancel_backend($loader_pid)");
finish_call($loader, '57014', 'it can be cancelled');
is(value($watcher, "SELECT count(*) FROM pg_locks WHERE pid = $loader_pid AND locktype = 'relation'"),
	0, 'and holds no lock then');
value($keeper, 'COMMIT');
leaves_nothing('cancelled while waiting');

# While it waits for the source, nobody waits for it.
value($keeper, 'BEGIN; LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE');
start_call($loader, q{SELECT * FROM product_upsert_from('delivery', 'product')});
wait_until_waiting($node, 1, 'relation');
value($watcher, q{BEGIN; SET LOCAL lock_timeout = '1s'; LOCK TABLE product IN ROW EXCLUSIVE MODE; ROLLBACK});
value($watcher, "SELECT pg_cancel_backend($loader_pid)");
finish_call($loader, '57014', 'a load that waits for its source can be cancelled');
value($keeper, 'COMMIT');
leaves_nothing('cancelled before the first row');

# The server ends the session.
start_call($loader, q{SELECT * FROM product_upsert_from('endless_feed', 'product')});
$node->poll_query_until('postgres', "SELECT tuples_processed > 0 FROM pg_stat_progress_copy WHERE pid = $loader_pid")
  or die;
value($watcher, "SELECT pg_terminate_backend($loader_pid)");
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $loader_pid)") or die;
$loader = session($node);
leaves_nothing('terminated');

# -- other sessions' temporary tables -----------------------------------------------------------------------------

value($keeper,
	q{CREATE TEMPORARY TABLE private (brand text, serial text, manufacturer text); INSERT INTO private VALUES ('p', '1', 'm')}
);
my $private = value($keeper, q{SELECT 'private'::regclass::oid});
fails(
	$loader, "SELECT product_upsert_from($private, 'product')",
	'0A000', "another session's temporary table is no source"
);
is(value($keeper, "SELECT * FROM product_upsert_from($private, 'product')"), '1|0|0|0|0', 'one of its own is');

$_->quit for $keeper, $watcher, $loader;
$node->stop;
done_testing();
