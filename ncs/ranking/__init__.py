"""What ranking by predictions would do to view time: simulated visits, an A/B test of arms, off-line estimates."""
