"""Pages that need no network: styles, pictures and plotly's bundle are in them."""

import base64
from typing import Any

_CONFIG = {"responsive": True, "displayModeBar": False}


def render(template: str, **values: Any) -> str:
    """Return a page made of one of the templates; what `values` say is escaped."""
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
    """Return a picture as an address that holds it; `kind` is ``png``, say."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def mark(html: str) -> Any:
    """Return `html` as not to be escaped."""
    import markupsafe

    return markupsafe.Markup(html)
