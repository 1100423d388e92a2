// Java, JDBC. Gson keeps all digits of a number, and null fields of a JsonObject.
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.util.PGBinaryObject;
import org.postgresql.util.PGobject;

public class Jdbc {
    static JsonElement upsert(Connection connection, JsonElement product) throws SQLException {
        try (var statement = connection.prepareStatement("SELECT product_upsert(?::jsonb)")) {
            statement.setString(1, product.toString());
            var rows = statement.executeQuery();
            rows.next();
            return JsonParser.parseString(rows.getString(1));
        }
    }

    static JsonElement upsertIf(Connection connection, JsonElement product, JsonElement ifMatch) throws SQLException {
        try (var statement = connection.prepareStatement("SELECT product_upsert('product', ?::jsonb, ?::jsonb)")) {
            statement.setString(1, product.toString());
            statement.setString(2, ifMatch.toString());
            var rows = statement.executeQuery();
            rows.next();
            return JsonParser.parseString(rows.getString(1));
        }
    }

    // -- the conversation ----------------------------------------------------------------------------

    static int tests = 0;

    static void check(Object got, Object expected, String name) {
        var ok = Objects.equals(got, expected);
        System.out.printf("%s %d - %s%n", ok ? "ok" : "not ok", ++tests, name);
        if (!ok) {
            System.out.printf("#      got: %s%n# expected: %s%n", got, expected);
        }
    }

    static JsonObject object(String name, Number value) {
        var object = new JsonObject();
        object.addProperty(name, value);
        return object;
    }

    static JsonObject product(String serial) {
        var product = new JsonObject();
        product.addProperty("brand", "Acme");
        product.addProperty("serial", serial);
        product.addProperty("manufacturer", "Acme Corp");
        return product;
    }

    static JsonObject product(String serial, Number stock) {
        var product = product(serial);
        product.addProperty("stock", stock);
        return product;
    }

    static Connection connect(String options) throws SQLException {
        return DriverManager.getConnection(System.getenv("JDBC_URL") + options);
    }

    static void execute(Connection connection, String query) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(query);
        }
    }

    static String value(Connection connection, String query) throws SQLException {
        try (var statement = connection.createStatement()) {
            var rows = statement.executeQuery(query);
            rows.next();
            return rows.getString(1);
        }
    }

    static String sqlstate(Callable<?> call) throws Exception {
        try {
            call.call();
            return null;
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    // The parts of a result that a test is about, as text.
    static String action(JsonElement result) {
        return result.getAsJsonObject().get("action").getAsString();
    }

    static JsonElement stored(JsonElement result, String column) {
        return result.getAsJsonObject().getAsJsonObject("product").get(column);
    }

    // Binary jsonb is its version, 1, and the text.
    public static class BinaryJsonb extends PGobject implements PGBinaryObject {
        BinaryJsonb(JsonElement json) throws SQLException {
            setType("jsonb");
            setValue("\u0001" + json);
        }

        public int lengthInBytes() {
            return value.getBytes(StandardCharsets.UTF_8).length;
        }

        public void toBytes(byte[] target, int offset) {
            System.arraycopy(value.getBytes(StandardCharsets.UTF_8), 0, target, offset, lengthInBytes());
        }

        public void setByteValue(byte[] source, int offset) {
            value = new String(source, offset, source.length - offset, StandardCharsets.UTF_8);
        }
    }

    public static void main(String[] args) throws Exception {
        var connection = connect("");
        var other = connect("");
        var holder = connect("");

        var result = upsert(connection, product("A-1", 12));
        check(action(result) + stored(result, "stock"), "created12", "a new key is created");
        result = upsert(connection, product("A-1", 11));
        check(action(result) + result.getAsJsonObject().get("previous"), "updated{\"stock\":12}",
            "a known key is updated, with the previous value");
        check(action(upsert(connection, product("A-1", 11))), "unchanged", "the same again is unchanged");

        var array = new JsonArray();
        array.add(product("A-2"));
        array.add(product("A-1", 10));
        var results = new ArrayList<String>();
        for (var element : upsert(connection, array).getAsJsonArray()) {
            results.add(action(element) + stored(element, "serial"));
        }
        check(results, List.of("created\"A-2\"", "updated\"A-1\""), "an array has its results in order");

        var withoutManufacturer = product("A-3");
        withoutManufacturer.add("manufacturer", null);
        upsert(connection, withoutManufacturer);
        result = upsert(connection, withoutManufacturer);
        check(action(result) + stored(result, "manufacturer"), "unchangednull", "null in the key equals null");

        result = upsert(connection, product("Größe 日本 😀"));
        check(value(connection, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"),
            "1", "characters of two to four bytes are stored as sent");
        check(stored(result, "serial").getAsString(), "Größe 日本 😀", "characters of two to four bytes come back as sent");

        var price = new BigDecimal("12345678901234567890.0123456789");
        var stock = 9007199254740993L;
        var large = product("A-4", stock);
        large.addProperty("price", price);
        result = upsert(connection, large);
        check(value(connection, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
            "12345678901234567890.0123456789 9007199254740993", "large numbers are stored exactly");
        check(List.of(stored(result, "price").getAsBigDecimal(), stored(result, "stock").getAsLong()),
            List.of(price, stock), "large numbers come back exactly");

        var unknown = product("A-1");
        unknown.addProperty("colour", "red");
        check(sqlstate(() -> upsert(connection, unknown)), "42703", "an unknown field is 42703");
        check(action(upsertIf(connection, product("A-1", 9), object("stock", 10))), "updated",
            "if_match that matches is an update");
        var refused = sqlstate(() -> upsertIf(connection, product("A-1", 8), object("stock", 10)));
        check(refused + " " + value(connection, "SELECT stock FROM product WHERE serial = 'A-1'"), "PT412 9",
            "if_match that does not match is PT412, and writes nothing");

        holder.setAutoCommit(false);
        upsert(holder, product("A-1"));
        execute(other, "SET lock_timeout = '100ms'");
        check(sqlstate(() -> upsert(other, product("A-1"))), "55P03", "a lock not to be had in time is 55P03");
        execute(other, "RESET lock_timeout");
        holder.commit();

        // The driver prepares a statement that is executed for the fifth time, unless told not to.
        try (var fresh = connect(""); var statement = fresh.prepareStatement("SELECT product_upsert(?::jsonb)")) {
            for (int n = 1; n <= 10; n++) {
                statement.setString(1, product("A-5", n).toString());
                var rows = statement.executeQuery();
                rows.next();
                result = JsonParser.parseString(rows.getString(1));
            }
            check(stored(result, "stock") + " " + value(fresh, "SELECT prepared()"), "10 1", "a prepared statement, ten times");
        }
        try (var fresh = connect("&prepareThreshold=0")) {
            for (int n = 11; n <= 20; n++) {
                result = upsert(fresh, product("A-5", n));
            }
            check(stored(result, "stock") + " " + value(fresh, "SELECT prepared()"), "20 0", "no prepared statement, ten times");
        }

        try (var binary = connect("&binaryTransferEnable=jsonb&prepareThreshold=-1");
             var statement = binary.prepareStatement("SELECT product_upsert(?)")) {
            large = product("A-6");
            large.addProperty("price", price);
            statement.setObject(1, new BinaryJsonb(large));
            var rows = statement.executeQuery();
            rows.next();
            check(value(binary, "SELECT price FROM product WHERE serial = 'A-6'"), price.toString(), "binary parameter");
            var received = rows.getBytes(1);
            result = JsonParser.parseString(new String(received, 1, received.length - 1, StandardCharsets.UTF_8));
            check(received[0] + " " + stored(result, "price"), "1 " + price, "binary result");
        }

        // The third connection holds the key until both wait for it.
        var pool = Executors.newFixedThreadPool(2);
        var waited = new ArrayList<String>();
        var actions = new ArrayList<List<String>>();
        var counts = new ArrayList<String>();
        for (int n = 1; n <= 5; n++) {
            var serial = "R-" + n;
            try (var statement = holder.prepareStatement("SELECT product_upsert_lock('product', ?::jsonb)")) {
                statement.setString(1, product(serial).toString());
                statement.execute();
            }
            var racers = new ArrayList<Future<JsonElement>>();
            racers.add(pool.submit(() -> upsert(connection, product(serial, 0))));
            racers.add(pool.submit(() -> upsert(other, product(serial, 1))));
            waited.add(value(holder, "SELECT both_wait()"));
            holder.commit();
            var done = new ArrayList<String>();
            for (var racer : racers) {
                done.add(action(racer.get()));
            }
            Collections.sort(done);
            actions.add(done);
            counts.add(value(connection, "SELECT count(*) FROM product WHERE serial = '" + serial + "'"));
        }
        pool.shutdown();
        check(waited, Collections.nCopies(5, "t"), "race: both wait for the key");
        check(actions, Collections.nCopies(5, List.of("created", "updated")), "race: one creates, the other updates");
        check(counts, Collections.nCopies(5, "1"), "race: each key has one row");

        System.out.println("1.." + tests);
    }
}
