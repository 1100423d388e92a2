# Many clients write to the same keys at once, in every way that is allowed. Whatever they do, no key
# may get a second row, and no write that a client was told of may be lost.
#
# Each client enters into a ledger what it was told in the same transaction; see ledger_is_sound().

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

# A deadlock is to be found at once.
my $node = start_node('concurrency', deadlock_timeout => '10ms');
my $clients = 16;

# -- what a client does: pgbench scripts ------------------------------------------------------------

# One of a few keys that everybody wants.
my $hot_key = q{\set key random(1, 20)
};

# The clients walk through the keys abreast, so that they come to each new key at about the same time.
my $next_key = q{\set step :step + 1
\set key (4 * :step + random(0, 7)) % 20000
};

# Writes to one key, or to ten in random order, and enters it into the ledger.
my $enter = q{INSERT INTO ledger
SELECT r->'product'->>'serial', r->>'action', (r->'previous'->>'stock')::bigint, (r->'product'->>'stock')::bigint
  FROM };
my $one = $enter . q{product_upsert('product', jsonb_build_object('brand', 'b', 'serial', :key::text,
	'manufacturer', nullif(:manufacturer::text, 'none'), 'stock', nextval('number'), 'name', random()::text)) r;
};
my $ten = $enter . q{jsonb_array_elements(product_upsert('product', (
	SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', key::text,
		   'manufacturer', nullif(:manufacturer::text, 'none'), 'stock', nextval('number')) ORDER BY random())
	  FROM (SELECT (random() * 19)::int + 1 AS key FROM generate_series(1, 10)) k))) r;
};
my $ten_in_a_row = $enter . q{jsonb_array_elements(product_upsert('product', (
	SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', ((:key + k) % 20000)::text,
		   'manufacturer', nullif(:manufacturer::text, 'none'), 'stock', nextval('number')) ORDER BY random())
	  FROM generate_series(1, 10) k))) r;
};

# Writers that know nothing of the key's lock.
my $delete = q{WITH gone AS (
	DELETE FROM product WHERE brand = 'b' AND serial = :key::text RETURNING serial, stock)
INSERT INTO ledger SELECT serial, 'deleted', stock FROM gone;
};
my $update = q{WITH changed AS (
	UPDATE product SET data = to_jsonb(stock), stock = nextval('number')
	 WHERE brand = 'b' AND serial = :key::text RETURNING serial, data::bigint AS before, stock)
INSERT INTO ledger SELECT serial, 'updated', before, stock FROM changed;
};
my $insert = q{SELECT insert_product(:key::text, :manufacturer::text);
};

sub in_transaction
{
	my ($isolation, $script) = @_;
	my @settings = grep { /^\\/ } split /^/, $script;
	my @rest = grep { !/^\\/ } split /^/, $script;

	return join '', @settings, "BEGIN ISOLATION LEVEL $isolation;\n", @rest, "COMMIT;\n";
}

# Runs the scripts by 16 clients on a table that is created by that DDL, and looks at what is left.
# The manufacturer is part of the key; "none" stands for NULL.
sub hammer
{
	my ($name, %params) = @_;
	my $transactions = $clients * $params{transactions};
	my $options =
		"-c $clients -j 2 -t $params{transactions} -M prepared -D step=0 -D manufacturer="
	  . ($params{manufacturer} // 'none') . ' '
	  . ($params{options} // '');

	# One failure is enough; what is broken may take very long.
	return unless Test::More->builder->is_passing;
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS product, ledger; DROP SEQUENCE IF EXISTS number');
	$node->safe_psql('postgres', LEDGER . $params{table});
	pgbench_finishes($node, $name, $options, $params{scripts}, $transactions);
	ledger_is_sound($node, $name, deletes => $params{deletes}, entries => $params{entries});
	is(key_locks($node), 0, "$name: no key lock is left behind");
	return;
}

# -- the tables -------------------------------------------------------------------------------------

my $columns = q{(brand text, serial text, manufacturer text,
	name text, stock bigint, data jsonb)};
my $lookup_index = 'CREATE INDEX ON product (serial, brand);';

my $plain = "CREATE TABLE product $columns; $lookup_index";

# The key lacks the partition column, and each update moves the row to another partition.
my $partitioned = qq{
	CREATE TABLE product $columns PARTITION BY HASH (stock);
	SELECT format('CREATE TABLE product_%s PARTITION OF product FOR VALUES WITH (MODULUS 3, REMAINDER %s)', i, i)
	  FROM generate_series(0, 2) i \\gexec
	$lookup_index};

# Partitioned by the key, so that its rows can be written through the partition too.
my $partitioned_by_key = qq{
	CREATE TABLE product $columns PARTITION BY LIST (brand);
	CREATE TABLE product_b PARTITION OF product FOR VALUES IN ('b');
	$lookup_index};

my $unique = qq{
	CREATE TABLE product $columns;
	CREATE UNIQUE INDEX ON product (brand, serial, manufacturer);};
my $unique_with_nulls = qq{
	CREATE TABLE product $columns;
	CREATE UNIQUE INDEX ON product (brand, serial, manufacturer) NULLS NOT DISTINCT;};

$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION insert_product(key text, manufacturer text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		new_stock bigint := nextval('number');
	BEGIN
		INSERT INTO product (brand, serial, manufacturer, stock)
			 VALUES ('b', key, nullif(manufacturer, 'none'), new_stock);
		INSERT INTO ledger VALUES (key, 'created', NULL, new_stock);
	EXCEPTION WHEN unique_violation THEN
		NULL;
	END $$;
}
);

# -- what must hold -----------------------------------------------------------------------------------

hammer(
	'hot keys',
	table => $plain,
	transactions => 1000,
	scripts => { a => $hot_key . $one },
	entries => 1000 * $clients
);

hammer(
	'hot keys, arrays in random order',
	table => $plain,
	transactions => 300,
	scripts => { a => $ten },
	entries => 3000 * $clients
);

hammer(
	'hot keys, objects and arrays',
	table => $plain,
	transactions => 300,
	scripts => { 'a@5' => $hot_key . $one, 'b@1' => $ten }
);

hammer(
	'20,000 keys',
	table => $plain,
	transactions => 5000,
	scripts => { a => $next_key . $one },
	entries => 5000 * $clients
);

hammer(
	'20,000 keys, arrays in random order',
	table => $plain,
	transactions => 500,
	scripts => { a => $next_key . $ten_in_a_row },
	entries => 5000 * $clients
);

hammer(
	'partitioned table whose key lacks the partition column',
	table => $partitioned,
	transactions => 200,
	scripts => { 'a@5' => $hot_key . $one, 'b@1' => $ten, 'c@5' => $next_key . $one }
);

hammer(
	'calls on the table and on its partition',
	table => $partitioned_by_key,
	transactions => 500,
	scripts => {
		'a@1' => $next_key . $one,
		'b@1' => $next_key . $one =~ s/'product', jsonb/'product_b', jsonb/r
	},
	entries => 500 * $clients
);

hammer(
	'plain updates and deletes meanwhile',
	table => $plain,
	transactions => 400,
	deletes => 1,
	scripts => {
		'a@6' => $hot_key . $one,
		'b@1' => $ten,
		'c@3' => $hot_key . $update,
		'd@3' => $hot_key . $delete
	}
);

hammer(
	'unique index, plain inserts and deletes meanwhile',
	table => $unique,
	manufacturer => 'm',
	transactions => 400,
	deletes => 1,
	scripts => {
		'a@6' => $hot_key . $one,
		'b@1' => $ten,
		'c@3' => $hot_key . $insert,
		'd@3' => $hot_key . $delete
	}
);

hammer(
	'unique index with NULLs that are not distinct',
	table => $unique_with_nulls,
	transactions => 200,
	deletes => 1,
	scripts => {
		'a@6' => $hot_key . $one,
		'c@3' => $hot_key . $insert,
		'd@3' => $hot_key . $delete
	}
);

hammer(
	'mixed isolation levels, with retries',
	table => $plain,
	transactions => 150,
	deletes => 1,
	options => '--max-tries=200',
	scripts => {
		'a@3' => $hot_key . $one,
		'b@3' => in_transaction('REPEATABLE READ', $hot_key . $one),
		'c@3' => in_transaction('SERIALIZABLE', $hot_key . $one),
		'd@1' => in_transaction('REPEATABLE READ', $ten),
		'e@1' => $hot_key . $delete
	}
);

# Arrays past the budget lock the table, calls within it lock their keys: each must see the other.
hammer(
	'whole-table locks and key locks',
	table => $plain,
	transactions => 200,
	scripts => {
		'a@6' => $hot_key . $one,
		'b@1' => "BEGIN;\nSET LOCAL product_upsert.max_key_locks = 5;\n${ten}COMMIT;\n",
		'c@1' => $ten
	}
);

$node->stop;
done_testing();
