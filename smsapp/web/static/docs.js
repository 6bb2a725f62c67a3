const target = document.getElementById("swagger-ui");
SwaggerUIBundle({ url: target.dataset.url, domNode: target, deepLinking: true, validatorUrl: null });
