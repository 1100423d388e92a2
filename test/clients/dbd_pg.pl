# Perl, DBD::Pg.
use v5.36;
use utf8;

use DBD::Pg qw(:async);
use DBI;
use JSON::PP;
use Math::BigFloat;
use Test::More;

# Numbers keep all their digits: those that Perl's own cannot hold are Math::BigInt and Math::BigFloat.
my $json = JSON::PP->new->allow_bignum;

sub upsert ($dbh, $product) {
    my ($result) = $dbh->selectrow_array('SELECT product_upsert(?)', undef, $json->encode($product));
    return $json->decode($result);
}

sub upsert_if ($dbh, $product, $if_match) {
    my ($result) = $dbh->selectrow_array(q{SELECT product_upsert('product', ?, ?)}, undef,
        $json->encode($product), $json->encode($if_match));
    return $json->decode($result);
}

# -- the conversation --------------------------------------------------------------------------------

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output);

# Test::More's own skip drops the name.
sub skip_named ($name, $reason) {
    my $builder = Test::More->builder;
    $builder->current_test($builder->current_test + 1);
    say { $builder->output } 'ok ', $builder->current_test, " - $name # SKIP $reason";
    return;
}

sub product ($serial, %fields) {
    return { brand => 'Acme', serial => $serial, manufacturer => 'Acme Corp', %fields };
}

sub connection () {
    return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
}

sub value ($dbh, $query) {
    return ($dbh->selectrow_array($query))[0];
}

sub sqlstate ($dbh, $call) {
    return eval { $call->(); 'no error' } // $dbh->state;
}

my ($dbh, $other, $holder) = map { connection() } 1 .. 3;

my $result = upsert($dbh, product('A-1', stock => 12));
is_deeply([ $result->{action}, $result->{product}{stock} ], [ 'created', 12 ], 'a new key is created');
$result = upsert($dbh, product('A-1', stock => 11));
is_deeply([ $result->@{qw(action previous)} ], [ 'updated', { stock => 12 } ],
    'a known key is updated, with the previous value');
is(upsert($dbh, product('A-1', stock => 11))->{action}, 'unchanged', 'the same again is unchanged');

my $results = upsert($dbh, [ product('A-2'), product('A-1', stock => 10) ]);
is_deeply([ map { [ $_->{action}, $_->{product}{serial} ] } @$results ], [ [ 'created', 'A-2' ], [ 'updated', 'A-1' ] ],
    'an array has its results in order');

upsert($dbh, product('A-3', manufacturer => undef));
$result = upsert($dbh, product('A-3', manufacturer => undef));
is_deeply([ $result->{action}, $result->{product}{manufacturer} ], [ 'unchanged', undef ], 'null in the key equals null');

$result = upsert($dbh, product('Größe 日本 😀'));
is(value($dbh, q{SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'}), 1,
    'characters of two to four bytes are stored as sent');
is($result->{product}{serial}, 'Größe 日本 😀', 'characters of two to four bytes come back as sent');

my ($price, $stock) = (Math::BigFloat->new('12345678901234567890.0123456789'), 9007199254740993);
$result = upsert($dbh, product('A-4', price => $price, stock => $stock));
is(value($dbh, q{SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'}),
    '12345678901234567890.0123456789 9007199254740993', 'large numbers are stored exactly');
is("$result->{product}{price} $result->{product}{stock}", "$price $stock", 'large numbers come back exactly');

is(sqlstate($dbh, sub { upsert($dbh, product('A-1', colour => 'red')) }), '42703', 'an unknown field is 42703');
is(upsert_if($dbh, product('A-1', stock => 9), { stock => 10 })->{action}, 'updated',
    'if_match that matches is an update');
my $refused = sqlstate($dbh, sub { upsert_if($dbh, product('A-1', stock => 8), { stock => 10 }) });
is_deeply([ $refused, value($dbh, q{SELECT stock FROM product WHERE serial = 'A-1'}) ], [ 'PT412', 9 ],
    'if_match that does not match is PT412, and writes nothing');

$holder->begin_work;
upsert($holder, product('A-1'));
$other->do(q{SET lock_timeout = '100ms'});
is(sqlstate($other, sub { upsert($other, product('A-1')) }), '55P03', 'a lock not to be had in time is 55P03');
$other->do('RESET lock_timeout');
$holder->commit;

# DBD::Pg prepares a statement when it is executed for the second time, unless told not to.
my $fresh = connection();
my $sth = $fresh->prepare('SELECT product_upsert(?)');
for my $n (1 .. 10) {
    $sth->execute($json->encode(product('A-5', stock => $n)));
    $result = $json->decode($sth->fetchrow_array);
}
is_deeply([ $result->{product}{stock}, value($fresh, 'SELECT prepared()') ], [ 10, 1 ], 'a prepared statement, ten times');
$fresh = connection();
$fresh->{pg_server_prepare} = 0;
$sth = $fresh->prepare('SELECT product_upsert(?)');
for my $n (11 .. 20) {
    $sth->execute($json->encode(product('A-5', stock => $n)));
    $result = $json->decode($sth->fetchrow_array);
}
is_deeply([ $result->{product}{stock}, value($fresh, 'SELECT prepared()') ], [ 20, 0 ],
    'no prepared statement, ten times');

skip_named('binary parameter', 'DBD::Pg sends text');
skip_named('binary result', 'DBD::Pg receives text');

# The third connection holds the key until both wait for it.
my (@waited, @actions, @rows);
for my $serial (map { "R-$_" } 1 .. 5) {
    $holder->begin_work;
    $holder->do(q{SELECT product_upsert_lock('product', ?)}, undef, $json->encode(product($serial)));
    my @racers = map { $_->prepare('SELECT product_upsert(?)', { pg_async => PG_ASYNC }) } $dbh, $other;
    $racers[$_]->execute($json->encode(product($serial, stock => $_))) for 0, 1;
    push @waited, value($holder, 'SELECT both_wait()');
    $holder->commit;
    $_->pg_result for @racers;
    push @actions, [ sort map { $json->decode($_->fetchrow_array)->{action} } @racers ];
    push @rows, value($dbh, "SELECT count(*) FROM product WHERE serial = '$serial'");
}
is_deeply(\@waited, [ (1) x 5 ], 'race: both wait for the key');
is_deeply(\@actions, [ ([ 'created', 'updated' ]) x 5 ], 'race: one creates, the other updates');
is_deeply(\@rows, [ (1) x 5 ], 'race: each key has one row');

done_testing;
