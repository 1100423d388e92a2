# Beside other extensions: what they see of the writes, that they do not get in the way of them, and that a table which one of
# them has made something else than a plain one is not taken for one. Each is skipped where it is not installed. (Citus and
# TimescaleDB have tests of their own.)

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($includedir) = run_command([ 'pg_config', '--includedir-server' ]);

my %is_set = (on => 'direct store', off => 'SPI store');

# Runs a subtest, unless the extension is not installed.
sub beside
{
	my ($extension, $test) = @_;

	subtest $extension => sub {
		plan skip_all => "$extension is not installed"
		  unless -e "$sharedir/extension/$extension.control" || -e "$libdir/$extension.so";
		$test->();
	};
	return;
}

sub upsert
{
	my ($table, $serial, %fields) = @_;
	my $more = join '', map { qq{, "$_": $fields{$_}} } sort keys %fields;

	return
	  qq{SELECT product_upsert('$table', '{"brand": "b", "serial": "$serial", "manufacturer": "m"$more}') ->> 'action'};
}

# What the server has logged since.
sub logged
{
	my ($node, $offset) = @_;

	return slurp_file($node->logfile, $offset);
}

# Why does a call for the table use SQL statements? '' if it does not.
sub why_statements
{
	my ($session, $table) = @_;

	value($session, 'SET client_min_messages = debug1');
	value($session, upsert($table, 'why'));
	my ($reason) = $session->{stderr} =~ /writes to table "$table" by SQL statements: (.*)/;
	value($session, 'RESET client_min_messages');
	return $reason // '';
}

# -- who looks at statements ------------------------------------------------------------------------------------

# Writes are logged, and those that do not happen are not, as what they are: whichever store.
beside pgaudit => sub {
	my $node = start_node(
		'pgaudit',
		shared_preload_libraries => 'pgaudit',
		'pgaudit.log' => 'write',
		'pgaudit.log_relation' => 'on',
		'pgaudit.role' => 'auditor',
		'pgaudit.log_catalog' => 'off'
	);
	create_product($node);
	create_product($node, table => 'source');
	$node->safe_psql(
		'postgres', q{
		CREATE EXTENSION pgaudit;
		CREATE ROLE auditor;
		GRANT UPDATE (price) ON product TO auditor;
		SELECT product_upsert_protect('product');
		INSERT INTO source (brand, serial, manufacturer, price) VALUES ('b', '3', 'm', 1), ('b', '1', 'm', 3)}
	);

	# The log's lines, each as "SESSION|OBJECT class,command,type,name".
	my $audited = sub {
		my ($session, $sql) = @_;
		my $offset = -s $node->logfile;

		value($session, $sql);
		return
		  join ' ',
		  map { join ',', (split /,/)[ 0, 3 .. 6 ] } logged($node, $offset) =~ /AUDIT: ((?:SESSION|OBJECT),\N*)/g;
	};
	my $insert = 'SESSION,WRITE,INSERT,TABLE,public.product';
	my $update = 'OBJECT,WRITE,UPDATE,TABLE,public.product SESSION,WRITE,UPDATE,TABLE,public.product';

	for my $setting (qw(on off))
	{
		my $session = session($node);
		my $with = "direct_store = $setting";

		value($session, "TRUNCATE product; SET product_upsert.direct_store = $setting");
		is($audited->($session, upsert('product', 1, price => 1)), $insert, "$with: a row that is created");
		is($audited->($session, upsert('product', 1, price => 1)), '', "$with: one that stays as it is");
		is($audited->($session, upsert('product', 1, price => 2)),
			$update, "$with: one that is updated, as an object too");
		is(
			$audited->(
				$session,
				q{SELECT product_upsert('product', '[{"brand": "b", "serial": "1", "manufacturer": "m", "price": 1},
				{"brand": "b", "serial": "2", "manufacturer": "m"}]')}
			),
			"$update $insert",
			"$with: an array"
		);
		like(
			$audited->($session, q{SELECT * FROM product_upsert_from('source', 'product')}),
			qr/^(?=.*\Q$insert\E)(?=.*\Q$update\E)/,
			"$with: a load"
		);
		$session->quit;
	}

	# It is pgaudit that has made the difference.
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	my $session = session($node);
	is(why_statements($session, 'product'), '', 'without it, rows are written directly');
	$node->stop;
};

# They see the call alone, unless all is written by SQL statements.
beside pg_stat_statements => sub {
	my $node = start_node(
		'statements',
		shared_preload_libraries => 'pg_stat_statements, auto_explain',
		'pg_stat_statements.track' => 'all',
		'auto_explain.log_min_duration' => 0,
		'auto_explain.log_nested_statements' => 'on'
	);
	create_product($node);
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');

	for my $setting (qw(on off))
	{
		my $session = session($node);
		my $writes =
		  q{SELECT string_agg(DISTINCT substring(query, '(?:INSERT INTO|UPDATE) \S+'), ', ') FROM pg_stat_statements
			WHERE query ~ '^(INSERT|UPDATE|WITH)'};

		value($session, "TRUNCATE product; SET product_upsert.direct_store = $setting");
		value($session, 'SELECT pg_stat_statements_reset()');
		my $offset = -s $node->logfile;
		value($session, upsert('product', 1, price => $_)) for 1, 2, 2;
		is(
			value($session, q{SELECT calls, rows FROM pg_stat_statements WHERE query LIKE 'SELECT product_upsert($1%'}),
			'3|3',
			"direct_store = $setting: pg_stat_statements counts the calls"
		);
		is(
			value($session, $writes),
			$setting eq 'on' ? '' : 'INSERT INTO public.product, UPDATE public.product',
			'... and the writes in them, if they are statements'
		);
		my $log = logged($node, $offset);
		is(() = $log =~ /Query Text: SELECT product_upsert/g, 3, 'auto_explain logs the calls');
		is(
			join(' ', $log =~ /^\t((?:Insert|Update) on product)/mg),
			$setting eq 'on' ? '' : 'Insert on product Update on product',
			'... and the plans of the writes in them, if they are statements'
		);
		$session->quit;
	}
	$node->stop;
};

# -- what is decoded --------------------------------------------------------------------------------------------

# Transactions, as plain statements and as calls. "key" stands for a row's key columns, or for their values.
my @transactions = (
	[
		q{INSERT INTO product (brand, serial, manufacturer, price, body) VALUES ('b', '1', 'm', 1, repeat('x', 3000))},
		q{SELECT product_upsert('product', jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', 'm', 'price', 1, 'body', repeat('x', 3000)))}
	],
	[ q{INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '2', 'm')}, upsert('product', 2) ],
	[ q{UPDATE product SET price = 2 WHERE serial = '1'}, upsert('product', 1, price => 2) ],
	[ q{SELECT FROM product WHERE serial = '1'}, upsert('product', 1, price => 2) ],
	[
		q{UPDATE product SET price = NULL, note = 'n' WHERE serial = '2'},
		upsert('product', 2, price => 'null', note => '"n"')
	],
	[
		q{UPDATE product SET body = repeat('y', 3000) WHERE serial = '1'},
		q{SELECT product_upsert('product', jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', 'm', 'price', 2, 'body', repeat('y', 3000)))}
	],
	[
		q{BEGIN; UPDATE product SET price = 3 WHERE serial = '1'; INSERT INTO product (brand, serial, manufacturer, price)
		VALUES ('b', '3', 'm', 3); UPDATE product SET price = 4 WHERE serial = '3'; COMMIT},
		q{SELECT product_upsert('product', '[{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3},
		{"brand": "b", "serial": "3", "manufacturer": "m", "price": 3}, {"brand": "b", "serial": "3", "manufacturer": "m", "price": 4}]')}
	],
	[
		q{BEGIN; SAVEPOINT s; UPDATE product SET price = 5 WHERE serial = '3'; ROLLBACK TO s;
		UPDATE product SET price = 6 WHERE serial = '3'; COMMIT},
			'BEGIN; SAVEPOINT s; '
		  . upsert('product', 3, price => 5)
		  . '; ROLLBACK TO s; '
		  . upsert('product', 3, price => 6)
		  . '; COMMIT'
	],
	[
		q{BEGIN; INSERT INTO product (brand, serial, manufacturer, price) VALUES ('b', '4', 'm', 4);
		UPDATE product SET price = 7 WHERE serial = '3'; COMMIT}, q{SELECT * FROM product_upsert_from('source', 'product')}
	],
	[ (q{DELETE FROM product WHERE serial = '3'}) x 2 ],
);

# What to ask each plugin for, without what is never the same twice. Of pgoutput's messages, those about rows.
my %streams = (
	test_decoding => q{SELECT data FROM pg_logical_slot_get_changes('test_decoding', NULL, NULL,
		'include-xids', '0', 'skip-empty-xacts', '1')},
	wal2json => q{SELECT data FROM pg_logical_slot_get_changes('wal2json', NULL, NULL, 'format-version', '2')},
	pgoutput => q{SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('pgoutput', NULL, NULL,
		'proto_version', '1', 'publication_names', 'everything') WHERE get_byte(data, 0) <> ALL (ARRAY[ascii('B'), ascii('C')])},
);

# Lets the server use an output plugin that is not PostgreSQL's own, where that is to be said.
sub allow_plugins
{
	my ($node, @plugins) = @_;
	my $setting = 'output_plugin_libraries';

	return unless $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = '$setting'");
	$node->append_conf('postgresql.conf', "$setting = '" . join(', ', 'pgoutput', 'test_decoding', @plugins) . q{'});
	$node->reload;
	return;
}

# Each row's changes are those that plain statements make, and in the same transactions.
subtest 'logical decoding' => sub {
	my $node = start_node('decoding', wal_level => 'logical', max_replication_slots => 10);
	my @plugins = grep { -e "$libdir/$_.so" } sort keys %streams;

	allow_plugins($node, 'wal2json');
	$node->safe_psql(
		'postgres', q{
		CREATE TABLE source (brand text, serial text, manufacturer text, price int);
		INSERT INTO source VALUES ('b', '4', 'm', 4), ('b', '3', 'm', 7)}
	);
	for my $identity ('DEFAULT', 'FULL', 'NOTHING', 'USING INDEX product_key')
	{
		my $unique = $identity =~ /INDEX/ ? 'UNIQUE' : '';

		# PostgreSQL 18 wants generated columns published if they identify a row.
		my $generated = $identity eq 'FULL' ? '' : ', twice int GENERATED ALWAYS AS (price * 2) STORED';
		my $publish = $identity eq 'NOTHING' ? 'insert' : 'insert, update, delete';

		$node->safe_psql(
			'postgres', qq{
			CREATE TABLE product (
				id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
				brand text NOT NULL, serial text NOT NULL, manufacturer text NOT NULL,
				price int, gone int, note text DEFAULT 'none', body text$generated);
			ALTER TABLE product DROP gone, ALTER body SET STORAGE EXTERNAL;
			CREATE $unique INDEX product_key ON product (brand, serial, manufacturer);
			ALTER TABLE product REPLICA IDENTITY $identity;
			CREATE PUBLICATION everything FOR TABLE product WITH (publish = '$publish')}
		);
		$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('$_', '$_')") for @plugins;
		my %decoded;
		for my $way (qw(plain on off))
		{
			my $session = session($node);
			my $calls = $way eq 'plain' ? 0 : 1;

			value($session, 'TRUNCATE product RESTART IDENTITY');
			value($session, "SET product_upsert.direct_store = $way") if $calls;
			is(why_statements($session, 'product'), '', 'what is written directly') if $way eq 'on';
			value($session, 'TRUNCATE product RESTART IDENTITY');
			value($session, $streams{$_}) for @plugins;
			value($session, $_->[$calls]) for @transactions;
			$decoded{$_}{$way} = value($session, $streams{$_}) for @plugins;
			$session->quit;
		}
		for my $plugin (@plugins)
		{
			cmp_ok(() = $decoded{$plugin}{plain} =~ /\n/g, '>', 3, "$identity, $plugin: there is something to compare");
			is(
				$decoded{$plugin}{$_},
				$decoded{$plugin}{plain},
				"$identity, $plugin: by the $is_set{$_}, as by plain statements"
			) for qw(on off);
		}

		# A published table must tell which rows are updated.
		if ($identity eq 'NOTHING')
		{
			my $session = session($node);

			value($session, q{ALTER PUBLICATION everything SET (publish = 'insert, update')});
			fails($session, q{UPDATE product SET price = 9 WHERE serial = '1'}, '55000', 'a plain UPDATE is refused');
			for my $setting (qw(on off))
			{
				value($session, "SET product_upsert.direct_store = $setting");
				fails($session, upsert('product', 1, price => 9), '55000', "... one by the $is_set{$setting} too");
				is(value($session, upsert('product', "new $setting")), 'created', '... but rows are created');
			}
			$session->quit;
		}
		$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$_')") for @plugins;
		$node->safe_psql('postgres', 'DROP TABLE product; DROP PUBLICATION everything');
	}
	note("without $_, which is not installed") for grep { !-e "$libdir/$_.so" } sort keys %streams;
	$node->stop;
};

# What is written arrives. There, changes skip triggers unless they are ENABLE ALWAYS, and so the guard.
beside pglogical => sub {
	my %settings = (
		shared_preload_libraries => 'pglogical',
		wal_level => 'logical',
		max_wal_senders => 5,
		track_commit_timestamp => 'on',
		'pglogical.conflict_resolution' => 'error'
	);
	my ($provider, $subscriber) = map { start_node("pglogical_$_", %settings) } qw(provider subscriber);
	my %dsn = map { $_->name => $_->connstr('postgres') =~ s/'/''/gr } $provider, $subscriber;

	for my $node ($provider, $subscriber)
	{
		allow_plugins($node, 'pglogical_output');
		create_product($node);
		$node->safe_psql(
			'postgres', qq{
			CREATE EXTENSION pglogical;
			ALTER TABLE product ADD PRIMARY KEY (id);
			SELECT pglogical.create_node('@{[ $node->name ]}', '$dsn{$node->name}')}
		);
	}
	$provider->safe_psql('postgres', q{SELECT pglogical.replication_set_add_table('default', 'product')});
	$subscriber->safe_psql(
		'postgres', qq{
		SELECT product_upsert_protect('product');
		ALTER TABLE product ENABLE ALWAYS TRIGGER product_upsert_guard;
		SELECT pglogical.create_subscription('everything', '$dsn{$provider->name}',
			synchronize_structure := false, synchronize_data := false)}
	);
	$subscriber->poll_query_until('postgres', q{SELECT status FROM pglogical.show_subscription_status('everything')},
		'replicating')
	  or die 'no subscription';

	my $session = session($provider);
	my $rows = 'SELECT id, serial, price FROM product ORDER BY id';
	my $arrives = sub {
		my ($name) = @_;

		ok($subscriber->poll_query_until('postgres', $rows, value($session, $rows)), $name);
	};
	for my $setting (qw(on off))
	{
		value($session, "SET product_upsert.direct_store = $setting");
		value($session, upsert('product', $setting, price => $_)) for 1, 2, 2;
		$arrives->("what the $is_set{$setting} has written arrives");
	}

	# A row with that key is there already.
	$subscriber->safe_psql('postgres',
		q{INSERT INTO product (id, brand, serial, manufacturer) VALUES (1000, 'b', '9', 'm')});
	my $offset = -s $subscriber->logfile;
	value($session, upsert('product', 9, price => 9));
	$subscriber->wait_for_log(qr/duplicate key value violates unique constraint "product_upsert_guard"/, $offset);
	is($subscriber->safe_psql('postgres', q{SELECT id FROM product WHERE serial = '9'}),
		'1000', 'the guard keeps a second row out');
	$subscriber->safe_psql('postgres', 'DELETE FROM product WHERE id = 1000');

	# It would try again within a minute.
	$subscriber->safe_psql('postgres', "SELECT pglogical.alter_subscription_${_}able('everything', true)")
	  for qw(dis en);
	$arrives->('when the other is gone, it arrives');
	$session->quit;
	$_->stop for $subscriber, $provider;
};

# -- who changes tables -----------------------------------------------------------------------------------------

# The partitions that maintenance makes are guarded, and those that it drops take their keys with them.
beside pg_partman => sub {
	my $node = start_node('partman');
	my $session = session($node);
	my $call = sub {
		my ($serial, $days) = @_;

		return
		  qq{SELECT product_upsert('product', jsonb_build_object('brand', 'b', 'serial', '$serial', 'manufacturer', 'm',
			'at', current_date + $days)) ->> 'action'};
	};
	my $partitions = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'product'::regclass};
	my $unguarded = qq{$partitions AND NOT EXISTS (
		SELECT FROM pg_trigger WHERE tgrelid = inhrelid AND tgname = 'product_upsert_guard')};

	value(
		$session, q{
		CREATE SCHEMA partman;
		CREATE EXTENSION pg_partman SCHEMA partman;
		CREATE TABLE product (brand text, serial text, manufacturer text, at date NOT NULL) PARTITION BY RANGE (at);
		SELECT product_upsert_protect('product')}
	);
	my ($version) = value($session, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'}) =~ /^(\d+)/;
	my $start = q{(current_date - 20)::text};
	value($session,
		$version < 5
		? qq{SELECT partman.create_parent('public.product', 'at', 'native', 'daily', p_premake := 2, p_start_partition := $start)}
		: qq{SELECT partman.create_parent('public.product', 'at', '1 day', p_premake := 2, p_start_partition := $start)}
	);
	my $before = value($session, $partitions);
	cmp_ok($before, '>', 20, 'there are partitions');

	is(value($session, $call->($_, -$_)), 'created', "$_ days ago") for 0, 1, 19;
	value($session, q{UPDATE partman.part_config SET premake = 4});
	value($session, q{SELECT partman.run_maintenance('public.product')});
	cmp_ok(value($session, $partitions), '>', $before, 'maintenance makes partitions');
	is(value($session, $unguarded), '0', '... each with the guard');
	fails($session, q{INSERT INTO product VALUES ('b', '0', 'm', current_date + 3)},
		'23505', 'a key that is in another partition');
	is(value($session, $call->('new', 3)), 'created', 'a new one');
	fails($session, q{INSERT INTO product VALUES ('b', 'new', 'm', current_date)}, '23505', '... is a key too');

	# A row that is moved out of the default partition
	is(value($session, $call->('far', 30)), 'created', 'what has no partition yet is in the default one');

	# (partition_data_time() of pg_partman 5.5 does not: it attaches the partition before the row is gone.)
	value(
		$session, q{
		BEGIN;
		CREATE TABLE moved AS SELECT * FROM product WHERE serial = 'far';
		DELETE FROM product WHERE serial = 'far';
		SELECT partman.create_partition_time('public.product', ARRAY[(current_date + 30)::timestamptz]);
		INSERT INTO product SELECT * FROM moved;
		COMMIT}
	);
	is(value($session, q{SELECT tableoid::regclass::text ~ 'default' FROM product WHERE serial = 'far'}),
		'f', 'a row is moved into a partition of its own');
	fails($session, q{INSERT INTO product VALUES ('b', 'far', 'm', current_date)}, '23505', '... and is guarded there');

	value($session, q{UPDATE partman.part_config SET retention = '10 days', retention_keep_table = false});
	value($session, q{SELECT partman.run_maintenance('public.product')});
	cmp_ok(value($session, $partitions), '<', $before, 'maintenance drops partitions');
	is(value($session, q{SELECT count(*) FROM product WHERE serial = '19'}), '0', '... with what was in them');
	is(value($session, $call->(19, 0)), 'created', '... so that it can come again');
	is(value($session, q{SELECT count(*) FROM product_upsert_duplicates('product')}), '0', 'no key has two rows');
	$session->quit;
	$node->stop;
};

# Nothing is lost, and the guard goes on, while the table is written anew under a load.
beside pg_repack => sub {
	my $node = start_node('repack');
	my ($clients, $calls) = (4, 2000);
	my $dir = PostgreSQL::Test::Utils::tempdir();

	create_product($node);
	$node->safe_psql(
		'postgres', LEDGER . q{
		CREATE EXTENSION pg_repack;
		ALTER TABLE product ADD PRIMARY KEY (id);
		SELECT product_upsert_protect('product');
		CREATE FUNCTION write(n int) RETURNS void LANGUAGE sql AS $$
			INSERT INTO ledger SELECT serial, r ->> 'action', (r #>> '{previous,stock}')::bigint, (r #>> '{product,stock}')::bigint
			  FROM (SELECT n::text AS serial) s, product_upsert('product',
				jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm', 'stock', nextval('number'))) AS r
		$$}
	);
	append_to_file("$dir/load", "\\set n random(1, 300)\nSELECT write(:n)\n");
	my ($stdout, $stderr) = ('', '');
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-t', $calls, '-f', "$dir/load", 'postgres' ],
		'>', \$stdout, '2>', \$stderr);
	my $repacks = 0;
	my $failures = 0;
	my $oid = q{SELECT pg_relation_filenode('product')};
	my $before = $node->safe_psql('postgres', $oid);

	while ($load->pumpable)
	{
		my (undef, $errors) = run_command([qw(pg_repack --no-kill-backend --table=product postgres)]);
		$repacks++;
		$failures++, note($errors) if $errors =~ /ERROR|WARNING/;
		$load->pump_nb;
	}
	$load->finish;
	cmp_ok($repacks, '>', 0, "it was repacked meanwhile, $repacks times");
	is($failures, 0, '... each time without an error');
	isnt($node->safe_psql('postgres', $oid), $before, '... and so is in another file');
	like($stdout, qr{processed: @{[ $clients * $calls ]}/}, 'every call succeeds') or diag($stderr);
	ledger_is_sound($node, 'under pg_repack', entries => $clients * $calls);
	my $session = session($node);
	fails($session, q{INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '1', 'm')},
		'23505', 'the guard is there');
	$session->quit;
	$node->stop;
};

# -- types, triggers and others that need no server of their own -----------------------------------------------------

my $node = start_node('coexistence');

# A table with a column of the type that is not in the key, and one whose serial is of it: each is created, left alone and
# updated. Both stores find the same.
sub type_serves
{
	my ($extension, $type, $first, $second, $equal) = @_;

	beside $extension => sub {
		my $session = session($node);

		value($session, "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS $extension");
		value(
			$session, qq{
			CREATE TABLE product (brand text, serial text, manufacturer text, v $type);
			CREATE INDEX ON product (brand, serial, manufacturer);
			CREATE TABLE keyed (brand text, serial $type, manufacturer text, n int)}
		);
		my $item = sub {
			my ($table, $fields) = @_;

			return
			  qq{product_upsert('$table', jsonb_build_object('brand', 'b', 'manufacturer', 'm', $fields)) ->> 'action'};
		};
		for my $setting (qw(on off))
		{
			value($session, "SET product_upsert.direct_store = $setting; TRUNCATE product");
			is(
				join(' ',
					map { value($session, 'SELECT ' . $item->('product', "'serial', '1', 'v', (($_)::$type)::text")) }
					  $first,
					$first,
					$second),
				'created unchanged updated',
				"direct_store = $setting: values of type $type"
			);
			is(value($session, "SELECT v::text = (($second)::$type)::text FROM product"),
				't', '... are stored as they are');

			# Of an hstore, to_jsonb() makes what hstore does not read.
			next if $type eq 'hstore';
			my $send_back = q{SELECT product_upsert('product', to_jsonb(p)) ->> 'action' FROM product p};

			# PostGIS stores a geometry otherwise, by a bit, when it is read from GeoJSON.
			value($session, $send_back) if $extension eq 'postgis';
			is(value($session, $send_back), 'unchanged', '... and a row that is sent back is the same');
		}

		# Versions differ in which of them can be hashed with a seed, as keys must be.
		my $hashable = value(
			$session, q{
			SELECT count(*) FROM pg_amproc JOIN pg_opclass ON opcfamily = amprocfamily AND opcintype = amproclefttype AND opcdefault
			  JOIN pg_am a ON a.oid = opcmethod AND amname = 'hash'
			  JOIN pg_attribute ON attrelid = 'keyed'::regclass AND attname = 'serial' AND atttypid = opcintype
			 WHERE amprocnum = 2}
		);
		if (!$hashable)
		{
			fails($session, q{SELECT product_upsert_protect('keyed')}, '42883', "no key of type $type");
		}
		else
		{
			value($session, q{SELECT product_upsert_protect('keyed')});
			for my $setting (qw(on off))
			{
				value($session, "SET product_upsert.direct_store = $setting; TRUNCATE keyed");
				is(
					join(' ',
						map { value($session, 'SELECT ' . $item->('keyed', "'serial', (($_)::$type)::text, 'n', 1")) }
						  $first,
						$equal,
						$second),
					'created unchanged created',
					"direct_store = $setting: keys of type $type"
				);
			}
		}
		value($session, 'DROP TABLE product, keyed');
		$session->quit;
	};
	return;
}

type_serves('citext', 'citext', q{'Item'}, q{'item 2'}, q{'ITEM'});
type_serves('hstore', 'hstore', q{'a=>1, b=>2'}, q{'a=>1, b=>NULL'}, q{'b=>2, a=>1'});
type_serves('ltree', 'ltree', q{'top.one'}, q{'top.two'}, q{'top.one'});
type_serves('ip4r', 'ip4r', q{'10.0.0.0/8'}, q{'10.0.0.0/9'}, q{'10.0.0.0-10.255.255.255'});
type_serves(
	'hll',
	'hll',
	q{hll_add(hll_empty(), hll_hash_integer(1))},
	q{hll_add(hll_empty(), hll_hash_integer(2))},
	q{hll_add(hll_empty(), hll_hash_integer(1))}
);
type_serves(
	'postgis',
	'geometry(Point, 4326)',
	q{'SRID=4326;POINT(1 2)'},
	q{'SRID=4326;POINT(1 3)'},
	q{'SRID=4326;POINT(1 2)'}
);

# Hypothetical indexes are in no catalog: they are neither searched nor taken for the lookup index.
beside hypopg => sub {
	my $session = session($node);

	value(
		$session, q{
		CREATE EXTENSION hypopg;
		CREATE TABLE product (brand text, serial text, manufacturer text, n int);
		SELECT * FROM hypopg_create_index('CREATE INDEX ON product (brand, serial, manufacturer)');
		SELECT * FROM hypopg_create_index('CREATE INDEX ON product (serial)')}
	);
	$session->{stderr} = '';
	is(value($session, upsert('product', 1, n => 1)), 'created', 'a row is created');
	like(
		$session->{stderr},
		qr/WARNING:  01000: no index of table "product" serves to look up its key/,
		'... with a warning that there is no index'
	);
	is(value($session, upsert('product', 1, n => $_->[0])), $_->[1], '... and found')
	  for [ 1, 'unchanged' ], [ 2, 'updated' ];
	my $index = value($session, q{SELECT lookup_index::oid FROM product_upsert_protect('product')});
	is(value($session, q{SELECT indexrelid FROM pg_index WHERE indrelid = 'product'::regclass}),
		$index, 'protecting the table makes an index that is real');
	fails($session, q{INSERT INTO product VALUES ('b', '1', 'm')}, '23505', 'the guard finds by it');
	is(why_statements($session, 'product'), '', '... and calls do');
	value($session, 'SELECT hypopg_reset(); DROP TABLE product');
	$session->quit;
};

# System versioning by triggers: every write leaves the row's history, one that does not happen none.
beside periods => sub {
	my $session = session($node);

	value(
		$session, q{
		SET client_min_messages = warning;
		CREATE EXTENSION periods CASCADE;
		CREATE TABLE product (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, brand text, serial text, manufacturer text,
			price int, valid_from date, valid_to date);
		SELECT periods.add_system_time_period('product');
		SELECT periods.add_system_versioning('product');
		SELECT periods.add_period('product', 'validity', 'valid_from', 'valid_to');
		SELECT periods.add_for_portion_view('product', 'validity');
		SELECT product_upsert_protect('product')}
	);
	my %fields = (valid_from => '"2024-01-01"', valid_to => '"2025-01-01"');
	for my $setting (qw(on off))
	{
		value($session, "SET product_upsert.direct_store = $setting");
		is(value($session, upsert('product', $setting, price => $_->[0], %fields)),
			$_->[1], "direct_store = $setting: $_->[1]")
		  for [ 1, 'created' ], [ 2, 'updated' ], [ 2, 'unchanged' ], [ 3, 'updated' ];
		is(
			value(
				$session, qq{SELECT string_agg(price::text, ' ' ORDER BY system_time_start) FROM product_with_history
				WHERE serial = '$setting'}
			),
			'1 2 3',
			'... with its history'
		);
		fails($session, upsert('product', $setting, valid_to => '"2023-01-01"'), '23514', '... and within its period');
	}
	fails(
		$session, upsert('product__for_portion_of_validity', 1),
		'42809', 'a view with INSTEAD OF triggers is no table'
	);
	value($session, q{UPDATE product__for_portion_of_validity SET price = 4, valid_to = valid_to WHERE serial = 'on'});
	$session->quit;
};

# The role that it changes to is the one that counts.
beside set_user => sub {
	my $other = start_node('set_user', shared_preload_libraries => 'set_user', 'set_user.block_log_statement' => 'on');
	my $session = session($other);

	create_product($other);
	value(
		$session, q{
		CREATE EXTENSION set_user;
		CREATE ROLE clerk;
		CREATE ROLE reader;
		GRANT SELECT, INSERT, UPDATE ON product TO clerk;
		GRANT SELECT ON product TO reader}
	);
	for my $setting (qw(on off))
	{
		value($session, "SET product_upsert.direct_store = $setting");
		value($session, q{SELECT set_user('clerk')});
		is(value($session, upsert('product', $setting)), 'created', "direct_store = $setting: as a role that may");
		value($session, q{SELECT reset_user()});
		value($session, q{SELECT set_user('reader')});
		fails($session, upsert('product', $setting), '42501', '... as one that may not');
		value($session, q{SELECT reset_user()});
		is(value($session, upsert('product', $setting, price => 1)), 'updated', '... and as who it was');
	}
	$session->quit;
	$other->stop;
};

# -- the unknown ------------------------------------------------------------------------------------------------

# Compiles C for the server. Returns the library's path.
sub build_library
{
	my ($name, $code) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();

	append_to_file("$dir/$name.c", qq{#include "postgres.h"\n#include "fmgr.h"\nPG_MODULE_MAGIC;\n$code});
	system_or_bail('cc', '-shared', '-fPIC', '-o', "$dir/$name.so", "-I$includedir", "$dir/$name.c");
	return "$dir/$name.so";
}

# By whatever sign a table is something else than PostgreSQL's own plain table, it is written to by SQL statements, which are
# everybody's to change, or refused.
subtest 'what is no plain table' => sub {

	# A copy of the heap's, which cannot build an index on a table that has rows: PostgreSQL's own function asks whose it is.
	my $method = build_library(
		'method', q{
		#include "access/tableam.h"
		#include "access/heapam.h"
		static TableAmRoutine routine;
		static double build(Relation rel, Relation index, struct IndexInfo *info, bool allow_sync, bool anyvisible, bool progress,
			BlockNumber start, BlockNumber nblocks, IndexBuildCallback callback, void *state, TableScanDesc scan)
		{ return 0; }
		PG_FUNCTION_INFO_V1(method);
		Datum method(PG_FUNCTION_ARGS)
		{
			routine = *GetHeapamTableAmRoutine();
			routine.index_build_range_scan = build;
			PG_RETURN_POINTER(&routine);
		}
	}
	);
	my $hook = build_library(
		'hook', q{
		#include "executor/executor.h"
		static ExecutorCheckPerms_hook_type next;
		#if PG_VERSION_NUM >= 160000
		static bool look(List *range, List *perms, bool abort) { return !next || next(range, perms, abort); }
		#else
		static bool look(List *range, bool abort) { return !next || next(range, abort); }
		#endif
		void _PG_init(void);
		void _PG_init(void) { next = ExecutorCheckPerms_hook; ExecutorCheckPerms_hook = look; }
	}
	);
	my $session = session($node);
	my $columns = '(brand text, serial text, manufacturer text)';
	my %made_by = (
		method_table => "CREATE TABLE method_table $columns USING method",
		parent => "CREATE TABLE parent $columns; CREATE TABLE child () INHERITS (parent)",
		ruled => "CREATE TABLE ruled $columns; CREATE RULE also AS ON INSERT TO ruled DO ALSO NOTIFY x",
		statement => "CREATE TABLE statement $columns; CREATE TRIGGER t AFTER INSERT ON statement
			EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		plain => "CREATE TABLE plain $columns",
	);
	my %reason = (
		method_table => 'it has another table access method',
		parent => 'it may have inheritance children',
		ruled => 'it has rules',
		plain => '',
	);

	value($session, "SET client_min_messages = warning");
	value($session, "CREATE FUNCTION method(internal) RETURNS table_am_handler LANGUAGE c AS '$method'");
	value($session, 'CREATE ACCESS METHOD method TYPE TABLE HANDLER method');
	for my $table (sort keys %reason)
	{
		value($session, "$made_by{$table}; CREATE INDEX ON $table (brand, serial, manufacturer)");
		is(why_statements($session, $table), $reason{$table}, "$table: " . ($reason{$table} || 'is one'));
		is(value($session, upsert($table, 'why')), 'unchanged', '... and the row is there');
	}

	# What is refused
	value(
		$session, qq{
		CREATE FOREIGN DATA WRAPPER wrapper;
		CREATE SERVER server FOREIGN DATA WRAPPER wrapper;
		CREATE FOREIGN TABLE foreign_table $columns SERVER server;
		CREATE VIEW view AS SELECT * FROM plain;
		CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE VIEW instead_view AS SELECT * FROM plain;
		CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE ON instead_view FOR EACH ROW EXECUTE FUNCTION instead();
		CREATE MATERIALIZED VIEW materialized AS SELECT * FROM plain;
		CREATE TABLE instead_ruled $columns;
		CREATE RULE instead AS ON UPDATE TO instead_ruled DO INSTEAD NOTHING}
	);
	fails($session, upsert($_, 1), '42809', "$_: refused") for qw(foreign_table view instead_view materialized);
	fails($session, upsert('instead_ruled', 1), '0A000', 'instead_ruled: refused');

	# A library that looks at what statements may do, from the next call on
	is(why_statements($session, 'plain'), '', 'before there is a hook');
	value($session, "LOAD '$hook'");
	is(
		why_statements($session, 'plain'),
		'an extension looks at what statements are permitted to do',
		'when there is one'
	);

	# Another's handler in the place of PostgreSQL's own, under its name
	value($session, q{SET allow_system_table_mods = on; UPDATE pg_am SET amhandler = 'method' WHERE amname = 'heap'});
	my $later = session($node);
	is(
		why_statements($later, 'plain'),
		'it has another table access method',
		"another's handler under the name of heap"
	);
	$later->quit;
	value($session, q{UPDATE pg_am SET amhandler = 'heap_tableam_handler' WHERE amname = 'heap'});
	$session->quit;
};

$node->stop;
done_testing();
