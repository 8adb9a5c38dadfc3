"""What the service is measured with: clients, the server as a process, the library beside it, hostile requests."""
