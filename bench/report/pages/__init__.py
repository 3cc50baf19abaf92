"""A report as Markdown, HTML, LaTeX and terminal output."""
