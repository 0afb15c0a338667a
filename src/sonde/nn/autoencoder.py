"""An encoder and a decoder as one network, in which each can be called alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sonde._errors import ArgumentError
from sonde._types import Part
from sonde.nn.combine import as_layer
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope


class Autoencoder(Layer):
    """x' = decoder(encoder(x)): called, it gives back its input; ``encode`` gives the code, ``decode`` goes back.

    Args:
        encoder: makes the code of the input: of fewer numbers than the input (an *undercomplete* code), or with a
            penalty or noise that keeps it from copying.
        decoder: makes the input of the code, or of logits of it, in the shape of the input. None: the encoder leads
            back itself by its method ``reconstruct``, as `TiedDense` does: *tied* weights.

    Its parameters are at ``encoder/...`` and ``decoder/...``. It is trained by `objectives.Reconstruct`.

    Raises:
        ArgumentError: there is no decoder, and the encoder has no way back.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Autoencoder(nn.Dense(2, nn.tanh), nn.Dense(5)), jnp.ones((1, 5)))
        >>> net.encode(jnp.ones((4, 5))).shape, net(jnp.ones((4, 5))).shape
        ((4, 2), (4, 5))
        >>> tied = nn.build(nn.Autoencoder(nn.TiedDense(2)), jnp.ones((1, 5)))
        >>> list(tied.params)
        ['encoder/bias', 'encoder/kernel', 'encoder/visible_bias']

    Source: D. Rumelhart, G. Hinton and R. Williams (1986).
    """

    encoder: Part
    decoder: Part = None

    def __init__(self, encoder: Layer | Callable, decoder: Layer | Callable | None = None) -> None:
        self._set(encoder=as_layer(encoder), decoder=None if decoder is None else as_layer(decoder))

    def check(self) -> None:
        """Refuse an encoder from which nothing leads back."""
        if self.decoder is None and not callable(getattr(self.encoder, "reconstruct", None)):
            raise ArgumentError(
                f"Autoencoder needs a decoder, or an encoder that leads back itself, such as nn.TiedDense(64); "
                f"{self.encoder} does not"
            )

    def encode(self, scope: Scope, x: Any) -> Any:
        """The code of x."""
        return scope("encoder", self.encoder, x)

    def decode(self, scope: Scope, code: Any) -> Any:
        """What a code stands for."""
        if self.decoder is None:
            return scope("encoder", self.encoder.reconstruct, code)
        return scope("decoder", self.decoder, code)

    def __call__(self, scope: Scope, x: Any) -> Any:
        """There and back."""
        return self.decode(scope, self.encode(scope, x))

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The encoder and, if it is another layer, the decoder."""
        yield "encoder", self.encoder
        if self.decoder is not None:
            yield "decoder", self.decoder
