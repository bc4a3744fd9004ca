"""From tables and sentences to HTML, Markdown, LaTeX and model cards."""
