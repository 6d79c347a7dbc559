"""Raw logs: where they come from (landing folders, KuaiRand, a synthetic world), how bronze holds them."""
