"""A line to type into."""

from textual import events
from textual.widgets import Input


class Typed(Input):
    """Every key acts in the order in which it was typed. Textual hands a key that is bound to each parent first, one
    message after another, and letters that follow overtake it: `ctrl+u 16 enter`, typed quickly on a busy machine,
    would clear the 16."""

    async def _on_key(self, event: events.Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, []):
            if not event.is_printable and self.check_action(binding.action, ()) is not False:
                event.stop()
                event.prevent_default()
                await self.run_action(binding.action)
                return
        await super()._on_key(event)
