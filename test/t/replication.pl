# Logical replication into a protected table. Applied changes skip triggers, and so the guard, unless it is ENABLE ALWAYS;
# then a change that would duplicate a key stops the subscription with 23505, as a unique index would.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $publisher = start_node('publisher', wal_level => 'logical', max_wal_senders => 5);
my $subscriber =
  start_node('subscriber', wal_level => 'logical', log_line_prefix => '%e ', wal_retrieve_retry_interval => '100ms');

my $connection = $publisher->connstr('postgres') =~ s/'//gr;
my $columns = 'id int PRIMARY KEY, brand text, serial text, manufacturer text, price int';

$publisher->safe_psql(
	'postgres', qq{
	CREATE TABLE product ($columns);
	CREATE TABLE parted (LIKE product INCLUDING ALL);
	CREATE PUBLICATION everything FOR TABLE product, parted;
}
);
$subscriber->safe_psql(
	'postgres', qq{
	CREATE TABLE product ($columns);
	CREATE TABLE parted ($columns) PARTITION BY RANGE (id);
	CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
	CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (1000);
	SELECT product_upsert_protect('product'), product_upsert_protect('parted');
	ALTER TABLE product ENABLE ALWAYS TRIGGER product_upsert_guard;
	ALTER TABLE parted ENABLE ALWAYS TRIGGER product_upsert_guard;
	CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything;
}
);
$subscriber->wait_for_subscription_sync($publisher, 'everything');

# Publishes a change, and waits until it has arrived.
sub arrives
{
	my ($sql) = @_;

	$publisher->safe_psql('postgres', $sql);
	$publisher->wait_for_catchup('everything');
	return;
}

sub rows
{
	my ($table) = @_;

	return $subscriber->safe_psql('postgres', "SELECT id, serial, price FROM $table ORDER BY id") =~ s/\n/ /gr;
}

# Passes if a change that is published stops the subscription, and arrives when what it conflicts with is gone.
sub conflicts
{
	my ($table, $sql, $cure, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = rows($table);
	my $offset = -s $subscriber->logfile;

	$publisher->safe_psql('postgres', $sql);
	$subscriber->wait_for_log(qr/^23505 ERROR:  duplicate key value violates unique constraint "product_upsert_guard"/m,
		$offset);
	pass("$name: it stops with 23505");
	is(rows($table), $before, "$name: nothing of it has arrived");
	$subscriber->safe_psql('postgres', $cure);
	$publisher->wait_for_catchup('everything');
	is(rows($table), $expected, "$name: when the other row is gone, it arrives");
	return;
}

# -- the guard is ENABLE ALWAYS -----------------------------------------------------------------------------

arrives(q{INSERT INTO product VALUES (1, 'b', '1', 'm', 10), (2, 'b', '2', 'm', 20)});
arrives(q{UPDATE product SET price = 11 WHERE id = 1; UPDATE product SET serial = '3' WHERE id = 2});
arrives(q{DELETE FROM product WHERE id = 2; INSERT INTO product VALUES (3, 'b', '3', 'm', 30)});
is(rows('product'), '1|1|11 3|3|30', 'changes without a conflict arrive');

$subscriber->safe_psql('postgres', q{INSERT INTO product VALUES (100, 'b', '4', 'm', 0)});
conflicts(
	'product',
	q{INSERT INTO product VALUES (4, 'b', '4', 'm', 40)},
	'DELETE FROM product WHERE id = 100',
	'1|1|11 3|3|30 4|4|40', 'INSERT'
);
$subscriber->safe_psql('postgres', q{INSERT INTO product VALUES (100, 'b', '5', 'm', 0)});
conflicts(
	'product',
	q{UPDATE product SET serial = '5' WHERE id = 4},
	'DELETE FROM product WHERE id = 100',
	'1|1|11 3|3|30 4|5|40',
	'UPDATE of the key'
);

# The publisher's table is one, the subscriber's has partitions.
arrives(q{INSERT INTO parted VALUES (1, 'b', '1', 'm', 10), (20, 'b', '2', 'm', 20)});
arrives(q{UPDATE parted SET id = 11 WHERE id = 1});
is(rows('parted'), '11|1|10 20|2|20', 'partitioned table: changes without a conflict arrive');
$subscriber->safe_psql('postgres', q{INSERT INTO parted VALUES (100, 'b', '3', 'm', 0)});
conflicts(
	'parted',
	q{INSERT INTO parted VALUES (3, 'b', '3', 'm', 30)},
	'DELETE FROM parted WHERE id = 100',
	'3|3|30 11|1|10 20|2|20',
	'partitioned table, row in another partition'
);

# It takes the key's lock: a change that arrives waits for a call, and is refused.
my $caller = session($subscriber);

value($caller, 'BEGIN');
is(
	value(
		$caller,
		q{SELECT product_upsert('product', '{"id": 100, "brand": "b", "serial": "6", "manufacturer": "m"}') ->> 'action'}
	),
	'created',
	'a call on the subscriber'
);
$publisher->safe_psql('postgres', q{INSERT INTO product VALUES (6, 'b', '6', 'm', 60)});
wait_until_waiting($subscriber, 1);
my $offset = -s $subscriber->logfile;
value($caller, 'COMMIT');
$subscriber->wait_for_log(qr/^23505 ERROR:  duplicate key value violates unique constraint "product_upsert_guard"/m,
	$offset);
pass('a change waits for it, and is refused');
value($caller, 'DELETE FROM product WHERE id = 100');
$publisher->wait_for_catchup('everything');
is(rows('product'), '1|1|11 3|3|30 4|5|40 6|6|60', 'and arrives in the end');

# -- it is not ------------------------------------------------------------------------------------------------

$subscriber->safe_psql(
	'postgres', q{
	ALTER TABLE product ENABLE TRIGGER product_upsert_guard;
	INSERT INTO product VALUES (100, 'b', '7', 'm', 0);
}
);
arrives(q{INSERT INTO product VALUES (7, 'b', '7', 'm', 70)});
is($subscriber->safe_psql('postgres', q{SELECT rows FROM product_upsert_duplicates('product')}),
	'[7, 100]', 'a guard that is not ENABLE ALWAYS is skipped');
is($subscriber->safe_psql('postgres', q{SELECT kept -> 'id' FROM product_upsert_merge_duplicates('product')}),
	'7', 'the duplicates can be merged');

# session_replication_role = replica is the same in a session.
my ($status, undef, $stderr) = $subscriber->psql('postgres', q{INSERT INTO product VALUES (101, 'b', '7', 'm', 0)});
like($stderr, qr/duplicate key value/, 'it binds a session');
$subscriber->safe_psql('postgres',
	q{SET session_replication_role = replica; INSERT INTO product VALUES (101, 'b', '7', 'm', 0)});
is($subscriber->safe_psql('postgres', q{SELECT rows FROM product_upsert_duplicates('product')}),
	'[7, 101]', 'but not one that is a replica');

$caller->quit;
$subscriber->stop;
$publisher->stop;
done_testing();
