# The lock table is shared by the whole server and cannot grow. A transaction may fill as much of it
# with key locks as product_upsert.max_key_locks says; beyond that the lock of the table serves.
#
# The server has the settings that PostgreSQL has by default.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node('lock_budget', max_connections => 100, max_locks_per_transaction => 64);
my $default_budget = 256;

create_product($node);

# One to all of them, as an array, or call by call.
sub array_of
{
	my ($first, $last, $table) = @_;

	$table //= 'product';
	return qq{SELECT jsonb_array_length(product_upsert('$table', (
		SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', i::text, 'manufacturer', 'm', 'stock', i))
		  FROM generate_series($first, $last) i)))};
}

sub calls_of
{
	my ($first, $last, $table) = @_;

	$table //= 'product';
	return qq{SELECT count(product_upsert('$table',
		jsonb_build_object('brand', 'b', 'serial', i::text, 'manufacturer', 'm', 'stock', i)))
		  FROM generate_series($first, $last) i};
}

sub all_locks
{
	my ($session) = @_;

	return value($session, 'SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()');
}

my $one = session($node);
my $other = session($node);

# -- an array beyond the budget ---------------------------------------------------------------------

value($one, 'BEGIN');
is(value($one, array_of(1, 20_000)), 20_000, 'an array of 20,000 new keys');
ok(all_locks($one) < 50, 'it holds few locks');
is(key_locks($one), 0, 'none of them is of a key');
is(whole_table_locked($one, 'product'), 1, 'one is of the table');
is(value($one, array_of(1, 20_000)), 20_000, 'the same array again in the same transaction');
is(value($one, calls_of(1, 1000)), 1000, 'and single calls');
is(key_locks($one), 0, 'whoever has the table needs no key lock');

is(value($other, q{SELECT count(*) FROM product}), 0, 'readers are not kept out meanwhile');
start_call($other, calls_of(1, 1));
wait_until_waiting($node, 1, 'relation');
pass('writers wait for the table');
value($one, 'COMMIT');
is(finish_call($other), 1, 'they go on after the commit');
is(value($other, 'SELECT count(*), sum(stock) FROM product'), '20000|200010000', 'every row once');

# -- single calls beyond the budget -------------------------------------------------------------------

value($one, 'BEGIN');
is(value($one, calls_of(1, 200)), 200, 'calls within the budget');
is(value($one, calls_of(1, 200)), 200, 'with the same keys again');
is(key_locks($one), 200, 'each key has one lock');
is(whole_table_locked($one, 'product'), 0, 'the table has none');
is(value($one, calls_of(201, $default_budget)), $default_budget - 200, 'as many calls as the budget allows');
is(key_locks($one), $default_budget, 'each has its key lock');
is(whole_table_locked($one, 'product'), 0, 'the table is not locked');
is(value($one, calls_of(1, $default_budget)), $default_budget, 'the same keys once more');
is(whole_table_locked($one, 'product'), 0, 'need nothing that is not held already');
is(value($one, calls_of(20_001, 20_001)), 1, 'one key more');
is(whole_table_locked($one, 'product'), 1, 'takes the table');
is(value($one, calls_of(1, 5000)), 5000, '5,000 calls in one transaction');
is(key_locks($one), $default_budget, 'no key lock is added');
value($one, 'ROLLBACK');

# The table is not free if others write to it. To wait for them could be a deadlock.
value($other, 'BEGIN');
value($other, calls_of(30_000, 30_000));
value($one, 'BEGIN');
is(value($one, calls_of(1, 5000)), 5000, '5,000 calls in one transaction while another one writes');
is(key_locks($one), 5000, 'each has its key lock');
is(whole_table_locked($one, 'product'), 0, 'the table is not locked');
start_call($other, calls_of(5000, 5000));
wait_until_waiting($node, 1);
pass('the last of these keys is locked like the first');
value($one, 'COMMIT');
is(finish_call($other), 1, 'and free after the commit');
value($other, 'COMMIT');

value($other, 'BEGIN');
value($other, calls_of(30_000, 30_000));
value($one, 'BEGIN');
value($one, calls_of(1, 300));
is(whole_table_locked($one, 'product'), 0, 'the table is not locked while another one writes');
value($other, 'COMMIT');
value($one, calls_of(301, 301));
is(whole_table_locked($one, 'product'), 1, 'it is, as soon as the other one is done');
is(key_locks($one), 300, 'and the key locks end there');
value($one, 'COMMIT');

# An array may wait for the table, as it does so before it holds any key of its own.
value($other, 'BEGIN');
value($other, calls_of(1, 1));
start_call($one, array_of(1, 1000));
wait_until_waiting($node, 1, 'relation');
is(key_locks($node), 1, 'an array that waits for the table holds no key');
value($other, 'COMMIT');
is(finish_call($one), 1000, 'it goes on when the table is free');

# -- what is given back ----------------------------------------------------------------------------------

value($one, 'BEGIN');
for my $round (1 .. 10)
{
	value($one, "SAVEPOINT s; " . calls_of(100 * $round, 100 * $round + 99));
	value($one, 'ROLLBACK TO s');
}
is(key_locks($one), 0, 'a savepoint that is rolled back frees its keys');
value($one, array_of(1, $default_budget));
is(whole_table_locked($one, 'product'), 0, 'and gives them back to the budget');
is(key_locks($one), $default_budget, 'which is whole again');
value($one, calls_of(1000, 1000));
is(whole_table_locked($one, 'product'), 1, 'and not larger than before');
value($one, 'COMMIT');

value($one, 'BEGIN');
value($one, calls_of(1, 50));
value($one, 'SAVEPOINT outer_one; ' . calls_of(51, 150));
value($one, 'SAVEPOINT inner_one; ' . calls_of(151, 250));
value($one, 'RELEASE inner_one');
is(whole_table_locked($one, 'product'), 0, 'a savepoint that is released');
value($one, array_of(1000, 1006));
is(whole_table_locked($one, 'product'), 1, 'leaves its keys to the level above');
value($one, 'ROLLBACK TO outer_one');
is(key_locks($one), 50, 'which frees all of them when it is rolled back');
is(whole_table_locked($one, 'product'), 0, 'and the table');
value($one, array_of(51, $default_budget));
is(whole_table_locked($one, 'product'), 0, 'the budget has them back');
is(key_locks($one), $default_budget, 'and no more than them');
value($one, array_of(1001, 1002));
is(whole_table_locked($one, 'product'), 1, 'it counts what was locked since');
value($one, 'COMMIT');

# Savepoints in savepoints; the deepest is rolled back with all that is above it.
value($one, 'BEGIN');
value($one, "SAVEPOINT s$_; " . calls_of($_, $_)) for 1 .. 40;
is(key_locks($one), 40, '40 savepoints deep');
value($one, 'ROLLBACK TO s21');
is(key_locks($one), 20, '20 of them rolled back');
value($one, array_of(101, 100 + $default_budget - 20));
is(whole_table_locked($one, 'product'), 0, 'their keys are back');
value($one, array_of(1000, 1001));
is(whole_table_locked($one, 'product'), 1, 'the keys of the others are not');
value($one, 'COMMIT');

# Blocks with an exception handler are savepoints too; half of these fail after they took a key.
value($one, 'BEGIN');
value(
	$one, q{
	DO $$
	BEGIN
		FOR i IN 1 .. 400 LOOP
			BEGIN
				PERFORM product_upsert('product', jsonb_build_object(
					'brand', 'b', 'serial', i::text, 'manufacturer', 'm', 'price', i));
				PERFORM 1 / (i % 2);
			EXCEPTION WHEN division_by_zero THEN
			END;
		END LOOP;
	END $$}
);
is(key_locks($one), 200, 'of 400 blocks the 200 that did not fail keep their key');
is(whole_table_locked($one, 'product'), 0, 'and the budget holds');
value($one, 'COMMIT');

for my $end ('COMMIT', 'ROLLBACK', 'failure')
{
	value($one, 'BEGIN');
	value($one, calls_of(1, 200));
	is(whole_table_locked($one, 'product'), 0, "each transaction has its own budget, after $end too");
	if ($end eq 'failure')
	{
		fails($one, 'SELECT 1 / 0', '22012', 'a failure');
		value($one, 'ROLLBACK');
	}
	else
	{
		value($one, $end);
	}
}

# -- the setting -------------------------------------------------------------------------------------------

value($one, 'SET product_upsert.max_key_locks = 3');
value($one, 'BEGIN; ' . array_of(1, 3));
is(key_locks($one), 3, 'an array at the limit locks its keys');
is(whole_table_locked($one, 'product'), 0, 'alone');
value($one, 'COMMIT');
value($one, 'BEGIN; ' . array_of(1, 4));
is(key_locks($one), 0, 'an array beyond it locks none');
is(whole_table_locked($one, 'product'), 1, 'but the table');
value($one, 'COMMIT');
value($one, 'BEGIN; ' . calls_of(1, 3));
is(key_locks($one) . whole_table_locked($one, 'product'), '30', 'three calls');
value($one, calls_of(4, 4));
is(key_locks($one) . whole_table_locked($one, 'product'), '31', 'and a fourth');
value($one, 'COMMIT');
value(
	$one, q{BEGIN; SELECT product_upsert_lock('product', (
	SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', i::text, 'manufacturer', 'm'))
	  FROM generate_series(1, 4) i))}
);
is(key_locks($one) . whole_table_locked($one, 'product'), '01', 'locking by hand has the same limit');
value($one, 'COMMIT');
value($one, 'SET product_upsert.max_key_locks = 1');
value($one, 'BEGIN; ' . calls_of(1, 1));
is(key_locks($one) . whole_table_locked($one, 'product'), '10', 'the smallest limit allows one');
value($one, calls_of(2, 2));
is(key_locks($one) . whole_table_locked($one, 'product'), '11', 'and no second');
value($one, 'COMMIT');
value($one, 'RESET product_upsert.max_key_locks');

# Lowered below what is held already.
value($one, 'BEGIN; ' . calls_of(1, 20));
value($one, 'SET LOCAL product_upsert.max_key_locks = 10; ' . calls_of(21, 21));
is(key_locks($one) . whole_table_locked($one, 'product'), '201', 'a limit that is lowered meanwhile');
value($one, 'COMMIT');

# -- two tables, and a partitioned one -----------------------------------------------------------------------

create_product($node, table => 'second');
value($one, 'BEGIN; ' . calls_of(1, 200));
value($one, array_of(1, 100, 'second'));
is(whole_table_locked($one, 'product') . whole_table_locked($one, 'second'), '01', 'the budget is one for all tables');
value($one, 'COMMIT');

$node->safe_psql(
	'postgres', q{
	CREATE TABLE parted (brand text, serial text, manufacturer text, stock int) PARTITION BY LIST (brand);
	CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
	CREATE INDEX ON parted (serial)}
);
value($one, 'BEGIN; ' . array_of(1, 1000, 'parted_b'));
is(whole_table_locked($one, 'parted'), 1, "a partition's array locks the table at the root");
start_call($other, calls_of(1, 1, 'parted'));
wait_until_waiting($node, 1, 'relation');
value($one, 'COMMIT');
is(finish_call($other), 1, 'where calls on the whole table meet it');
is(value($other, 'SELECT count(*) FROM parted'), 1000, 'every row once');

$_->quit for $one, $other;
$node->stop;
done_testing();
