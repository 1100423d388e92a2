# A key that everybody wants must not eat all connections: with product_upsert.max_waiters = n, the
# n+1st that would have to wait for it fails at once.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node('max_waiters');
my $call = q{SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m", "price": %s}')->>'action'};
my $other_key = q{SELECT product_upsert('{"brand": "b", "serial": "2", "manufacturer": "m", "price": 1}')->>'action'};
my $both_keys = q{SELECT product_upsert('[{"brand": "b", "serial": "2", "manufacturer": "m", "price": 2},
	{"brand": "b", "serial": "1", "manufacturer": "m", "price": 2}]')->0->>'action'};

create_product($node);
$node->append_conf('postgresql.conf', 'product_upsert.max_waiters = 3');
$node->reload;

# -- one by one -----------------------------------------------------------------------------------

my $holder = session($node);
my @waiters = map { session($node) } 1 .. 3;
my $late = session($node);

value($holder, 'BEGIN');
is(value($holder, sprintf $call, 0), 'created', 'the holder writes to the key');

for my $n (1 .. 3)
{
	start_call($waiters[ $n - 1 ], sprintf $call, $n);
	wait_until_waiting($node, $n);
	pass("$n of 3 may wait");
}
my $errors = fails($late, sprintf($call, 4), '55P03', 'the fourth fails');
like($errors, qr/too many callers wait for the same key of table "product"/, 'with a message');
like($errors, qr/DETAIL:  3 are waiting; product_upsert.max_waiters is 3\./, 'that tells the numbers');
for my $n (2 .. 10)
{
	fails($late, sprintf($call, 4), '55P03', "at once, each time ($n)");
}
fails($late, $both_keys, '55P03', 'an array that has the key fails too');
is(key_locks($node), 1, 'and holds none of its keys afterwards');
is(value($late, $other_key), 'created', 'another key is free');
is(value($late, "BEGIN; $other_key; COMMIT"), 'unchanged', 'in a transaction too');
fails($late, q{SELECT product_upsert_lock('product', '{"brand": "b", "serial": "1", "manufacturer": "m"}')},
	'55P03', 'to lock the key by hand fails likewise');

value($late, 'BEGIN');
value($late, $other_key);
value($late, 'SAVEPOINT s');
fails($late, sprintf($call, 4), '55P03', 'below a savepoint');
value($late, 'ROLLBACK TO s');
is(value($late, $other_key), 'unchanged', 'the transaction goes on');
value($late, 'COMMIT');

# Whoever gives up makes room.
$node->safe_psql('postgres',
	'SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted ORDER BY waitstart LIMIT 1');
finish_call($waiters[0], '57014', 'a waiter is cancelled');
start_call($waiters[0], sprintf $call, 4);
wait_until_waiting($node, 3);
pass('its place is free');
fails($late, sprintf($call, 5), '55P03', 'and taken again');

value($late, 'SET product_upsert.max_waiters = 4');
start_call($late, sprintf $call, 5);
wait_until_waiting($node, 4);
pass('the limit is that of the caller');

value($holder, 'COMMIT');
is(finish_call($waiters[1]), 'updated', 'the waiters go on, one after the other');
is(finish_call($waiters[2]), 'updated', 'the second');
is(finish_call($waiters[0]), 'updated', 'the third');
is(finish_call($late), 'updated', 'the fourth');
is($node->safe_psql('postgres', q{SELECT price FROM product WHERE serial = '1'}), 5, 'in the order of arrival');
is(key_locks($node), 0, 'no lock is left');

# -- no limit ---------------------------------------------------------------------------------------

value($holder, 'BEGIN');
value($holder, sprintf $call, 10);
for my $n (1 .. 4)
{
	my $session = ($late, @waiters)[ $n - 1 ];

	value($session, 'SET product_upsert.max_waiters = 0');
	start_call($session, sprintf $call, 10 + $n);
	wait_until_waiting($node, $n);
}
pass('0 is no limit');
value($holder, 'COMMIT');
is(finish_call($_), 'updated', 'all of them go on') for $late, @waiters;

# A caller's own patience is another way to the same error.
value($holder, 'BEGIN');
value($holder, sprintf $call, 20);
value($late, q{SET lock_timeout = '10ms'});
fails($late, sprintf($call, 21), '55P03', 'lock_timeout without a limit');
value($late, 'SET product_upsert.max_waiters = 3');
fails($late, sprintf($call, 21), '55P03', 'and with one');
value($holder, 'COMMIT');
is(value($late, sprintf $call, 21), 'updated', 'the session goes on');
is(key_locks($node), 0, 'no lock is left after either');

$_->quit for $holder, @waiters, $late;

# -- under load ---------------------------------------------------------------------------------------

# While the test holds the key, 16 clients keep trying: a few wait, the others are refused again and
# again. When it lets go, they all get through or are refused; every write that was acknowledged counts.

$node->safe_psql(
	'postgres', LEDGER . q{
	DROP TABLE product;
	CREATE TABLE product (brand text, serial text, manufacturer text, stock bigint);
	CREATE INDEX ON product (serial);
	CREATE SEQUENCE refused;
	CREATE FUNCTION try() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO ledger
		SELECT r->'product'->>'serial', r->>'action', (r->'previous'->>'stock')::bigint, (r->'product'->>'stock')::bigint
		  FROM product_upsert(jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', 'm', 'stock', nextval('number'))) r;
	EXCEPTION WHEN lock_not_available THEN
		PERFORM nextval('refused');
	END $$}
);

$holder = session($node);
value($holder, q{BEGIN; SELECT product_upsert_lock('product', '{"brand": "b", "serial": "1", "manufacturer": "m"}')});

my $script = $node->basedir . '/try';
my ($out, $err) = ('', '');
append_to_file($script, "SELECT try();\n");
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{PGOPTIONS} = '-c product_upsert.max_waiters=2';
my $load = IPC::Run::start([ 'pgbench', qw(-n -c 16 -j 2 -t 400 -f), $script ], '>', \$out, '2>', \$err);
delete local $ENV{PGOPTIONS};

# The others are refused so often that two must have come to wait by then.
$node->poll_query_until('postgres', q{SELECT last_value > 1000 FROM refused})
  or die 'the clients are not refused';
my $waiting =
  $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'});
ok($waiting >= 2 && $waiting < 16, 'some wait, the others are refused') or diag("$waiting wait");
is($node->safe_psql('postgres', 'SELECT count(*) FROM ledger'), 0, 'nobody gets past the holder');
value($holder, 'COMMIT');
$holder->quit;
$load->finish;
is($load->result(0), 0, 'the clients finish') or diag($err);
like($out, qr{processed: 6400/6400}, 'with all their calls');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM ledger) + last_value FROM refused'),
	6400, 'each call was either done or refused');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM ledger'), '>=', 2, 'those who waited were served');
ledger_is_sound($node, 'a bounded queue');

$node->stop;
done_testing();
