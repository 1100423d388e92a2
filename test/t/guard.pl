# A protected table while many clients write to it in every way that PostgreSQL has, at every isolation level: no key ever
# gets a second row, and nobody sees an error but 23505, 40001 and 40P01. And merges of what was duplicated before,
# while everybody goes on writing: nothing is lost, and nothing references a row that is gone.
#
# The clients write for 30 seconds to a plain table, for as long to a partitioned one, and for 8 while others merge; or in
# each case for as many as the environment variable GUARD_SECONDS says.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $mixed_seconds = $ENV{GUARD_SECONDS} // 30;
my $merge_seconds = $ENV{GUARD_SECONDS} // 8;
my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
my $keys = 60;

# A deadlock is to be found at once. Each line of the log begins with its SQLSTATE.
my $node = start_node('guard', deadlock_timeout => '10ms', log_line_prefix => '%e ');
my $dir = PostgreSQL::Test::Utils::tempdir();

# Runs pgbench for some seconds; passes if no client had to give up.
sub pgbench_goes_on
{
	my ($name, $clients, $seconds, $scripts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return $node->command_checks_all(
		[ pgbench_command($name, $clients, $seconds, $scripts) ],
		0,
		[qr{number of transactions actually processed: [1-9]}],
		[qr{^(?!.*(error|aborted))}s],
		"$name: no client gives up"
	);
}

# Where a transaction fails with 40001 or 40P01, it is tried again.
sub pgbench_command
{
	my ($name, $clients, $seconds, $scripts) = @_;
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries=0');

	for my $script (sort keys %$scripts)
	{
		my ($weight) = $script =~ /@(\d+)$/;
		my $file = "$dir/" . ("$name $script" =~ s/\W+/_/gr);

		append_to_file($file, $scripts->{$script});
		push @command, '-f', $file . ($weight ? "\@$weight" : '');
	}
	return (@command, $node->connstr('postgres'));
}

# The SQLSTATEs of all errors in the server's log from there on
sub sqlstates
{
	my ($offset) = @_;
	my %states = map { $_ => 1 } slurp_file($node->logfile, $offset) =~ /^(\w{5}) (?:ERROR|FATAL|PANIC):/mg;

	return sort keys %states;
}

# -- every way to write -------------------------------------------------------------------------------------

# Each tries to write to one or more of a few keys. A unique violation is what a program would handle: how often it came, and
# how often not, is counted by sequences, which no rollback sets back.
$node->safe_psql(
	'postgres', q{
	CREATE SEQUENCE written;
	CREATE SEQUENCE refused;
	CREATE PROCEDURE try(sql text) LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE sql;
		PERFORM nextval('written');
	EXCEPTION WHEN unique_violation THEN
		PERFORM nextval('refused');
	END $$;
	CREATE FUNCTION random_key() RETURNS text LANGUAGE sql AS $$ SELECT (random() * 59)::int::text $$;
	CREATE FUNCTION random_part() RETURNS int LANGUAGE sql AS $$ SELECT (random() * 2)::int $$;
	CREATE VIEW feed AS
	SELECT 'b' AS brand, random_key() AS serial, NULL::text AS manufacturer, random_part() AS part, (random() * 9)::int AS price
	  FROM generate_series(1, 4);
}
);

# COPY reads files: of three keys each, and of some that begin with a key which nobody else has.
for my $n (0 .. 39)
{
	my @serials = map { int rand $keys } 1 .. 3;
	my %seen;

	append_to_file("$dir/copy$n", join '', map { "b\t$_\t\\N\t" . int(rand 3) . "\n" } grep { !$seen{$_}++ } @serials);
}

my %ways = (
	'INSERT' => q{INSERT INTO product (brand, serial, part) VALUES ('b', random_key(), random_part())},
	'INSERT of many rows' =>
	  q{INSERT INTO product (brand, serial, part) SELECT DISTINCT ON (serial) brand, serial, part FROM feed},
	'COPY' =>
	  qq{DO \$do\$ BEGIN EXECUTE format('COPY product (brand, serial, manufacturer, part) FROM %L', '$dir/copy' || (random() * 39)::int); END \$do\$},
	'UPDATE of the key' => q{UPDATE product SET serial = random_key() WHERE serial = (SELECT random_key())},
	'UPDATE of many keys' =>
	  q{UPDATE product SET serial = ((serial::int + 1) % 60)::text WHERE serial::int % 7 = (SELECT (random() * 6)::int)},
	'UPDATE of the partition column' => q{UPDATE product SET part = random_part() WHERE serial = (SELECT random_key())},
	'ON CONFLICT DO NOTHING' =>
	  q{INSERT INTO product (brand, serial, part) VALUES ('b', random_key(), random_part()) ON CONFLICT DO NOTHING},
	'ON CONFLICT DO UPDATE' => q{
		INSERT INTO product (id, brand, serial, part) SELECT id, brand, random_key(), part FROM product WHERE serial = (SELECT random_key())
		ON CONFLICT (id, part) DO UPDATE SET serial = excluded.serial},
	'MERGE' => q{
		MERGE INTO product AS p USING (SELECT 'b' AS brand, random_key() AS serial, random_part() AS part) AS s
		   ON p.brand = s.brand AND p.serial = s.serial
		 WHEN MATCHED THEN UPDATE SET price = 1
		 WHEN NOT MATCHED THEN INSERT (brand, serial, part) VALUES (s.brand, s.serial, s.part)},
	'DELETE' => q{DELETE FROM product WHERE serial IN (SELECT random_key() FROM generate_series(1, 4))},
	'delete and insert' => q{
		WITH gone AS (DELETE FROM product WHERE serial = (SELECT random_key()) RETURNING brand, serial)
		INSERT INTO product (brand, serial, part) SELECT brand, serial, random_part() FROM gone},
	'product_upsert' => q{SELECT product_upsert('product', to_jsonb(f)) FROM (SELECT * FROM feed LIMIT 1) AS f},
	'product_upsert of an array' => q{SELECT product_upsert('product', jsonb_agg(f)) FROM feed AS f},
	'product_upsert_from' => q{SELECT product_upsert_from('feed', 'product')},
);

# Straight into a partition. An upsert would look in that partition alone.
my %straight = (
	'INSERT into a partition' => q{INSERT INTO product_1 (brand, serial, part) VALUES ('b', random_key(), 1)},
	'UPDATE of a partition' => q{UPDATE product_2 SET serial = random_key() WHERE serial = (SELECT random_key())},
	'COPY into a partition' =>
	  qq{DO \$do\$ BEGIN EXECUTE format('COPY product_0 (brand, serial, manufacturer, part) FROM %L WHERE part = 0',
		'$dir/copy' || (random() * 39)::int); END \$do\$},
);

# One script for each way and level, and one for several ways in a transaction
sub scripts
{
	my (%ways) = @_;
	my %scripts;

	for my $level (@levels)
	{
		my @calls;

		for my $way (sort keys %ways)
		{
			my $call = 'CALL try($try$' . ($ways{$way} =~ s/\s+/ /gr) . "\$try\$);\n";
			my $weight = $way eq 'product_upsert_from' ? 1 : 4;

			push @calls, $call if $way ne 'product_upsert_from';
			$scripts{"$way, $level\@$weight"} = "BEGIN ISOLATION LEVEL $level;\n${call}COMMIT;\n";
		}
		$scripts{"several $_, $level\@2"} =
		  "BEGIN ISOLATION LEVEL $level;\n" . join('', @calls[ map { int rand @calls } 1 .. 3 ]) . "COMMIT;\n"
		  for 1 .. 4;
	}
	return \%scripts;
}

# The same for psql, which goes on after an error; errors are the client's to see. Rows come by COPY … FROM STDIN.
# The script begins anew until it is time to end.
sub psql_script
{
	my ($file, %ways) = @_;
	my @ways = map { $ways{$_} } grep { !/COPY|product_upsert_from/ } sort keys %ways;
	my $script = '';

	for my $n (1 .. 400)
	{
		my $statement = $ways[ rand @ways ] =~ s/\s+/ /gr . ";\n";

		$statement =
		  "COPY product (brand, serial, manufacturer, part) FROM STDIN;\n"
		  . slurp_file("$dir/copy" . int rand 40) . "\\.\n"
		  if $n % 4 == 0;
		$script .= "BEGIN ISOLATION LEVEL $levels[rand @levels];\n${statement}COMMIT;\n";
	}
	append_to_file($file,
		$script
		  . "SELECT extract(epoch FROM clock_timestamp()) < :until AS again \\gset\n\\if :again\n\\i '$file'\n\\endif\n"
	);
	return;
}

# Six clients of pgbench and two of psql at once, on a table that is created by that DDL
sub hammer
{
	my ($name, $ddl, %ways) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $offset = -s $node->logfile;
	my @psql;

	$node->safe_psql('postgres',
		"$ddl; SELECT product_upsert_protect('product'); SELECT setval('written', 1), setval('refused', 1)");
	for my $n (1, 2)
	{
		my $file = "$dir/" . ($name =~ s/\W+/_/gr) . $n;

		psql_script($file, %ways);

		# Nobody reads what it says while pgbench runs: so not into a pipe. The server's log has the errors.
		push @psql,
		  IPC::Run::start(
			[
				'psql', '-X', '-q', '-v', 'until=' . (time() + $mixed_seconds),
				'-d', $node->connstr('postgres'),
				'-f', $file
			],
			'>',
			"$file.out",
			'2>&1'
		  );
	}
	pgbench_goes_on($name, 6, $mixed_seconds, scripts(%ways));
	$_->finish for @psql;

	my ($written, $refused) = split /\|/,
	  $node->safe_psql('postgres', 'SELECT w.last_value, r.last_value FROM written w, refused r');
	note("$name: $written written, $refused refused");
	cmp_ok($written, '>', 100, "$name: some are written");
	cmp_ok($refused, '>', 100, "$name: some are refused");
	my @states = sqlstates($offset);
	note("$name: SQLSTATEs @states");
	is("@{[ grep { !/^(?:23505|40001|40P01)$/ } @states ]}", '', "$name: no error but 23505, 40001 and 40P01");
	is(scalar(grep { $_ eq '23505' } @states), 1, "$name: a client sees 23505");
	is($node->safe_psql('postgres', 'SELECT * FROM product_upsert_duplicates(\'product\')'),
		'', "$name: no key has two rows");
	is(
		$node->safe_psql(
			'postgres',
			'SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) - count(DISTINCT (brand, serial, manufacturer)) FROM product'
		),
		'0',
		"$name: nor has one in the table itself"
	);
	is(key_locks($node), 0, "$name: no key lock is left behind");
	return;
}

$node->safe_psql('postgres', 'CREATE SEQUENCE ids');
my $columns =
  q{id bigint NOT NULL DEFAULT nextval('ids'), brand text, serial text, manufacturer text, part int NOT NULL, price int};

hammer(
	'plain table', qq{
	CREATE TABLE product ($columns, PRIMARY KEY (id, part));
	CREATE INDEX ON product (brand, serial, manufacturer)}, %ways
);

hammer(
	'partitioned table', qq{
	DROP TABLE product;
	CREATE TABLE product ($columns, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
	CREATE TABLE product_0 PARTITION OF product FOR VALUES IN (0);
	CREATE TABLE product_1 (price int, gone int, part int NOT NULL, serial text, manufacturer text, id bigint NOT NULL DEFAULT nextval('ids'), brand text);
	ALTER TABLE product_1 DROP COLUMN gone;
	ALTER TABLE product ATTACH PARTITION product_1 FOR VALUES IN (1);
	CREATE TABLE product_2 PARTITION OF product FOR VALUES IN (2)}, %ways, %straight
);

# -- merges meanwhile ------------------------------------------------------------------------------------------

# Every write is entered into the ledger, also that a merge has removed a row. The rows that reference products are counted in
# another way too: each has an entry in "told", which references nothing.
$node->safe_psql(
	'postgres', 'DROP TABLE product;' . LEDGER . q{
	CREATE TABLE product (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, brand text, serial text, manufacturer text,
						  name text, stock bigint, data jsonb);
	CREATE INDEX ON product (brand, serial, manufacturer);
	CREATE TABLE line (product bigint NOT NULL REFERENCES product);
	CREATE TABLE picture (product bigint NOT NULL REFERENCES product ON DELETE CASCADE);
	CREATE TABLE hint (product bigint REFERENCES product ON DELETE SET NULL);
	CREATE INDEX ON line (product);
	CREATE INDEX ON picture (product);
	CREATE INDEX ON hint (product);
	CREATE UNLOGGED TABLE told (reference text, serial text);

	CREATE PROCEDURE upsert(keys text[]) LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO ledger
		SELECT r->'product'->>'serial', r->>'action', (r->'previous'->>'stock')::bigint, (r->'product'->>'stock')::bigint
		  FROM jsonb_array_elements(product_upsert('product', (
			SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', k, 'manufacturer', NULL, 'stock', nextval('number'))) FROM unnest(keys) AS k))) AS r;
	EXCEPTION WHEN cardinality_violation THEN
		NULL;	-- it has duplicates still
	END $$;
	CREATE PROCEDURE update_plainly(key text) LANGUAGE sql AS $$
		WITH changed AS (
			UPDATE product SET data = to_jsonb(stock), stock = nextval('number')
			 WHERE brand = 'b' AND serial = key RETURNING serial, data::bigint AS before, stock)
		INSERT INTO ledger SELECT serial, 'updated', before, stock FROM changed
	$$;
	CREATE PROCEDURE duplicate(key text, n int) LANGUAGE sql AS $$
		WITH new AS (
			INSERT INTO product (brand, serial, stock, name)
			SELECT 'b', key, nextval('number'), CASE WHEN i % 2 = 0 THEN 'name' END FROM generate_series(1, n) AS i RETURNING serial, stock)
		INSERT INTO ledger SELECT serial, 'created', NULL, stock FROM new
	$$;
	CREATE PROCEDURE refer(reference regclass, key text) LANGUAGE plpgsql AS $$
	DECLARE
		nrows int;
	BEGIN
		EXECUTE format('INSERT INTO %s SELECT id FROM product WHERE brand = ''b'' AND serial = $1 ORDER BY random() LIMIT 1', reference) USING key;
		GET DIAGNOSTICS nrows = ROW_COUNT;
		INSERT INTO told SELECT reference::text, key WHERE nrows > 0;
	EXCEPTION WHEN foreign_key_violation THEN
		NULL;	-- it was merged meanwhile
	END $$;
	CREATE FUNCTION merge(keys int) RETURNS bigint LANGUAGE sql AS $$
		WITH merged AS (SELECT * FROM product_upsert_merge_duplicates('product', CASE WHEN random() < 0.5 THEN 'oldest' ELSE 'newest' END, max_keys => keys)), entered AS (
			INSERT INTO ledger SELECT r ->> 'serial', 'deleted', (r -> 'stock')::bigint FROM merged, jsonb_array_elements(removed) AS r)
		SELECT count(*) FROM merged
	$$;
	DO 'BEGIN FOR i IN 1 .. 600 LOOP CALL duplicate(i::text, 3); END LOOP; END';
	SELECT product_upsert_protect('product');
}
);

my $offset = -s $node->logfile;
my $key = "\\set key random(1, 700)\n\\set other random(1, 700)\n";
my ($report, $errors);
my $merger = IPC::Run::start(
	[ pgbench_command('merge', 1, $merge_seconds, { a => "\\set keys random(1, 5)\nSELECT merge(:keys);\n" }) ],
	'>', \$report, '2>', \$errors);

pgbench_goes_on(
	'writers',
	8,
	$merge_seconds,
	{
		'upsert@20' => $key . "CALL upsert(ARRAY[:key::text]);\n",
		'array@5' => $key . "CALL upsert(ARRAY[:key::text, :other::text]);\n",
		'update@6' => $key . "CALL update_plainly(:key::text);\n",
		'line@3' => $key . "CALL refer('line', :key::text);\n",
		'picture@3' => $key . "CALL refer('picture', :key::text);\n",
		'hint@3' => $key . "CALL refer('hint', :key::text);\n",
	}
);
ok($merger->finish, 'the merging client does not give up') or diag($errors);
unlike($errors, qr/error|aborted/, 'and is told of no error');
like($report, qr/number of transactions actually processed: [1-9]/, 'it has merged meanwhile');
is("@{[ grep { !/^40P01$/ } sqlstates($offset) ]}", '', 'merge: no error but 40P01');

my $merged = $node->safe_psql('postgres', q{SELECT count(*) FROM ledger WHERE action = 'deleted'});
note("merge: $merged rows removed meanwhile");
cmp_ok($merged, '>', 20, 'merge: rows are removed meanwhile');

# When all is quiet, two more merges do the rest: then there is nothing to do.
$node->safe_psql('postgres', 'SELECT merge(NULL)');
is($node->safe_psql('postgres', 'SELECT merge(NULL)'), '0', 'merge: nothing is left');
ledger_is_sound($node, 'merge', deletes => 1);
for my $reference ('line', 'picture', 'hint')
{
	is(
		$node->safe_psql(
			'postgres', qq{
			SELECT (SELECT count(*) > 0 FROM $reference), (SELECT count(*) FROM $reference WHERE NOT EXISTS (SELECT FROM product WHERE id = $reference.product))}
		),
		't|0',
		"merge: no $reference without its product"
	);
	is(
		$node->safe_psql(
			'postgres', qq{
			SELECT count(*) FROM (
				(SELECT serial FROM told WHERE reference = '$reference' EXCEPT ALL SELECT serial FROM $reference r JOIN product p ON p.id = r.product) UNION ALL
				(SELECT serial FROM $reference r JOIN product p ON p.id = r.product EXCEPT ALL SELECT serial FROM told WHERE reference = '$reference')) AS d}
		),
		'0',
		"merge: every $reference with the product it was written for"
	);
}
is($node->safe_psql('postgres', q{SELECT duplicate_keys FROM product_upsert_protect('product')}),
	'0', 'merge: no key has two rows');
is(key_locks($node), 0, 'merge: no key lock is left behind');

$node->stop;
done_testing();
