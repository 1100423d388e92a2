# 16 clients send versions 1 to 2,000 of 20 products in random order, each with newer_by: whoever comes when, the
# highest version is what is stored, and what the clients were told adds up.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $clients = 16;
my $keys = 20;
my $versions = 2000;
my $messages = $keys * $versions;
my $share = $messages / $clients;
my $array = 50;

my $node = start_node('newer_by');
create_product($node);
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE message AS
	SELECT row_number() OVER (ORDER BY random()) - 1 AS n, key, version,
		   jsonb_build_object('brand', 'b', 'serial', key::text, 'manufacturer', NULL, 'stock', version) AS payload
	  FROM generate_series(1, $keys) key, generate_series(1, $versions) version;
	CREATE UNIQUE INDEX ON message (n);
	ANALYZE message;
	CREATE TABLE ledger (key int, version int, action text, previous int, stored int);
}
);

# What each client sends of the messages: its share, in order, some at a time
sub script
{
	my ($send) = @_;

	return qq{\\set first :client_id * $share + :step
\\set step :step + :length
INSERT INTO ledger
SELECT (r->'product'->>'serial')::int, m.version, r->>'action', (r->'previous'->>'stock')::int, (r->'product'->>'stock')::int
  FROM $send;
};
}

my $one = script(q{message m, product_upsert('product', m.payload, newer_by => 'stock') r WHERE m.n = :first});
my $many = script(
	q{(SELECT jsonb_agg(payload ORDER BY n) AS payloads, array_agg(version ORDER BY n) AS versions
		  FROM message WHERE n >= :first AND n < :first + :length::int) s,
	   jsonb_array_elements(product_upsert('product', s.payloads, newer_by => 'stock')) WITH ORDINALITY e(r, i),
	   LATERAL (SELECT s.versions[e.i::int] AS version) m}
);

sub send_all
{
	my ($name, $script, $length) = @_;
	my $calls = $share / $length;

	pgbench_finishes(
		$node, $name,
		"-c $clients -j 2 -t $calls -M prepared -D step=0 -D length=$length",
		{ send => $script },
		$clients * $calls
	);
	return;
}

sub answer
{
	my ($query, $expected, $name) = @_;

	is($node->safe_psql('postgres', $query), $expected, $name);
	return;
}

sub highest_is_stored
{
	my ($name) = @_;

	answer(
		'SELECT count(*), min(stock), max(stock) FROM product',
		"$keys|$versions|$versions",
		"$name: of each product there is one row, with its highest version"
	);
	answer('SELECT count(*) FROM (SELECT key, version FROM ledger GROUP BY 1, 2 HAVING count(*) = 1) l',
		$messages, "$name: each version was answered");
	answer(
		'SELECT count(*) FROM ledger WHERE CASE action WHEN $$stale$$ THEN stored < version ELSE stored <> version END',
		0,
		"$name: what is stale is not newer than what is stored, all else is what is stored"
	);
	return;
}

send_all('one by one', $one, 1);
highest_is_stored('one by one');
answer(
	q{SELECT count(*) FILTER (WHERE action = 'created'), count(DISTINCT key) FILTER (WHERE action = 'created'),
		count(*) FILTER (WHERE action NOT IN ('created', 'updated', 'stale')) FROM ledger},
	"$keys|$keys|0", 'each product was created once'
);
answer(q{SELECT count(*) FROM ledger WHERE action = 'updated' AND previous >= version},
	0, 'nothing older has replaced anything newer');
answer(
	q{SELECT count(*) FROM ledger u WHERE action = 'updated' AND NOT EXISTS (
		SELECT FROM ledger w WHERE w.key = u.key AND w.version = u.previous AND w.action IN ('created', 'updated'))},
	0, 'what was replaced had been written'
);
answer(
	q{SELECT count(*) FROM (SELECT FROM ledger WHERE action = 'updated' GROUP BY key, previous HAVING count(*) > 1) u},
	0,
	'... and was replaced once'
);

# All of it once more, in arrays that have keys in common, of a table that has the half of it already
$node->safe_psql('postgres', qq{TRUNCATE ledger; UPDATE product SET stock = $versions / 2; VACUUM product});
send_all('in arrays', $many, $array);
highest_is_stored('in arrays');
answer(
	qq{SELECT count(*) FROM ledger WHERE action IN ('created', 'skipped') OR (action = 'updated' AND version <= $versions / 2)},
	0,
	'nothing was written that is not newer than what was there'
);

$node->stop;
done_testing();
