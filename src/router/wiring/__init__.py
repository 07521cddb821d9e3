"""Parts of the composition root, each as `main` would write it if there were room."""
