import org.openapitools.client.ApiClient;
import org.openapitools.client.api.MessagesApi;
import org.openapitools.client.model.Message;
import org.openapitools.client.model.SendRequest;

/** A text through the Java client of openapi-generator: java Send URL KEY TO. */
public final class Send {
    public static void main(String[] args) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(args[0]);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + args[1]));
        SendRequest request = new SendRequest().to(args[2]).body("Hello from openapi-generator");
        Message sent = new MessagesApi(client).sendMessage(request, null, null);
        System.out.println(sent.getId());
    }
}
