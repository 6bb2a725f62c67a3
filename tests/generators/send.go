// A text through the Go client of openapi-generator: send URL KEY TO.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	smsapp "example.com/smsapp/client"
)

func main() {
	configuration := smsapp.NewConfiguration()
	configuration.Servers = smsapp.ServerConfigurations{{URL: os.Args[1]}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+os.Args[2])
	request := smsapp.NewSendRequest(os.Args[3])
	request.SetBody("Hello from openapi-generator")
	sent, _, err := smsapp.NewAPIClient(configuration).MessagesAPI.SendMessage(context.Background()).SendRequest(*request).Execute()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sent.Id)
}
