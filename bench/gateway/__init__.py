"""What a gateway costs a request: stepdown's beside a plain pass-through, nginx and other gateways, in one run on loopback."""
