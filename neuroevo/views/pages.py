"""Pages that work offline: styles, pictures and plotly's bundle are embedded."""

import base64
from typing import Any

_CONFIG = {"responsive": True, "displayModeBar": False}


def render(template: str, **values: Any) -> str:
    """Return a page made from a template; the `values` are escaped."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("neuroevo.views"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    bundle = mark(get_plotlyjs())
    return environment.get_template(template).render(bundle=bundle, **values)


def plot(figure: Any, height: str = "420px") -> Any:
    """Return a plotly figure as a part of a page."""
    html = figure.to_html(
        include_plotlyjs=False,
        full_html=False,
        config=_CONFIG,
        default_height=height,
        auto_play=False,
    )
    return mark(html)


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture as a data URI; `kind` is its type, such as ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def mark(html: str) -> Any:
    """Mark `html` as safe, so that it is not escaped."""
    import markupsafe

    return markupsafe.Markup(html)
