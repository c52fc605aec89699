"""Parts of the one-file HTML report: text that cannot do harm, charts as inline SVG, sections, a template."""
