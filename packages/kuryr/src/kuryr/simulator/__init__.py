"""What Kuryr runs on, simulated: for tests, in process, without chance or a clock of its own."""
