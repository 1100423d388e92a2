# Ruby, pg.
require 'bigdecimal'
require 'json'
require 'pg'

# A BigDecimal loses no digit: it is sent as text, which a numeric column takes, and received as it is stored.
def upsert(conn, product)
  result = conn.exec_params('SELECT product_upsert($1)', [JSON.generate(product)])
  JSON.parse(result.getvalue(0, 0), decimal_class: BigDecimal)
end

def upsert_if(conn, product, if_match)
  result = conn.exec_params("SELECT product_upsert('product', $1, $2)",
                            [JSON.generate(product), JSON.generate(if_match)])
  JSON.parse(result.getvalue(0, 0), decimal_class: BigDecimal)
end

# -- the conversation --------------------------------------------------------------------------------

$tests = 0

def check(got, expected, name)
  puts "#{got == expected ? 'ok' : 'not ok'} #{$tests += 1} - #{name}"
  puts "#      got: #{got.inspect}", "# expected: #{expected.inspect}" unless got == expected
end

def product(serial, **fields)
  { brand: 'Acme', serial:, manufacturer: 'Acme Corp', **fields }
end

def value(conn, query)
  conn.exec(query).getvalue(0, 0)
end

def sqlstate
  yield
  nil
rescue PG::Error => e
  e.result.error_field(PG::PG_DIAG_SQLSTATE)
end

conn, other, holder = Array.new(3) { PG.connect }

result = upsert(conn, product('A-1', stock: 12))
check([result['action'], result['product']['stock']], ['created', 12], 'a new key is created')
result = upsert(conn, product('A-1', stock: 11))
check([result['action'], result['previous']], ['updated', { 'stock' => 12 }],
      'a known key is updated, with the previous value')
check(upsert(conn, product('A-1', stock: 11))['action'], 'unchanged', 'the same again is unchanged')

results = upsert(conn, [product('A-2'), product('A-1', stock: 10)])
check(results.map { |r| [r['action'], r['product']['serial']] }, [%w[created A-2], %w[updated A-1]],
      'an array has its results in order')

upsert(conn, product('A-3', manufacturer: nil))
result = upsert(conn, product('A-3', manufacturer: nil))
check([result['action'], result['product']['manufacturer']], ['unchanged', nil], 'null in the key equals null')

result = upsert(conn, product('Größe 日本 😀'))
check(value(conn, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"), '1',
      'characters of two to four bytes are stored as sent')
check(result['product']['serial'], 'Größe 日本 😀', 'characters of two to four bytes come back as sent')

price = BigDecimal('12345678901234567890.0123456789')
stock = 9_007_199_254_740_993
result = upsert(conn, product('A-4', price:, stock:))
check(value(conn, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
      '12345678901234567890.0123456789 9007199254740993', 'large numbers are stored exactly')
check(result['product'].values_at('price', 'stock'), [price, stock], 'large numbers come back exactly')

check(sqlstate { upsert(conn, product('A-1', colour: 'red')) }, '42703', 'an unknown field is 42703')
check(upsert_if(conn, product('A-1', stock: 9), { stock: 10 })['action'], 'updated',
      'if_match that matches is an update')
refused = sqlstate { upsert_if(conn, product('A-1', stock: 8), { stock: 10 }) }
check([refused, value(conn, "SELECT stock FROM product WHERE serial = 'A-1'")], %w[PT412 9],
      'if_match that does not match is PT412, and writes nothing')

holder.transaction do
  upsert(holder, product('A-1'))
  other.exec("SET lock_timeout = '100ms'")
  check(sqlstate { upsert(other, product('A-1')) }, '55P03', 'a lock not to be had in time is 55P03')
  other.exec('RESET lock_timeout')
end

fresh = PG.connect
fresh.prepare('upsert', 'SELECT product_upsert($1)')
1.upto(10) do |n|
  result = JSON.parse(fresh.exec_prepared('upsert', [JSON.generate(product('A-5', stock: n))]).getvalue(0, 0))
end
check([result['product']['stock'], value(fresh, 'SELECT prepared()')], [10, '1'], 'a prepared statement, ten times')
fresh.close
fresh = PG.connect
11.upto(20) { |n| result = upsert(fresh, product('A-5', stock: n)) }
check([result['product']['stock'], value(fresh, 'SELECT prepared()')], [20, '0'], 'no prepared statement, ten times')
fresh.close

# Binary jsonb is its version, 1, and the text.
payload = "\x01#{JSON.generate(product('A-6', price:))}"
result = conn.exec_params('SELECT product_upsert($1)', [{ value: payload, format: 1 }], 1)
check(value(conn, "SELECT price::text FROM product WHERE serial = 'A-6'"), price.to_s('F'), 'binary parameter')
version, received = result.getvalue(0, 0).unpack('Ca*')
check([version, JSON.parse(received, decimal_class: BigDecimal)['product']['price']], [1, price], 'binary result')

# The third connection holds the key until both wait for it.
waited = []
actions = []
rows = []
1.upto(5) do |n|
  serial = "R-#{n}"
  racers = nil
  holder.transaction do
    holder.exec_params("SELECT product_upsert_lock('product', $1)", [JSON.generate(product(serial))])
    racers = [conn, other].map.with_index { |c, i| Thread.new { upsert(c, product(serial, stock: i)) } }
    waited << value(holder, 'SELECT both_wait()')
  end
  actions << racers.map { |racer| racer.value['action'] }.sort
  rows << value(conn, "SELECT count(*) FROM product WHERE serial = '#{serial}'")
end
check(waited, ['t'] * 5, 'race: both wait for the key')
check(actions, [%w[created updated]] * 5, 'race: one creates, the other updates')
check(rows, ['1'] * 5, 'race: each key has one row')

puts "1..#{$tests}"
