import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.Properties;

/** Prints the first value of a query: arguments are URL, password, query. */
public class AsOf {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("password", arguments[1]);
        try (Connection connection = DriverManager.getConnection(arguments[0], properties);
                ResultSet rows = connection.createStatement().executeQuery(arguments[2])) {
            rows.next();
            System.out.println(rows.getString(1));
        }
    }
}
