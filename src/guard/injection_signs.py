"""What gives orders to a model away, in lower-case NFKC text with single spaces. RE2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Sign(NamedTuple):
    """Any of the `patterns` is one sign: it counts once, however many match."""

    weight: float
    patterns: tuple[str, ...]


_WHO = (
    r"(?:ais?|llms?|(?:large )?language models?|(?:ai |virtual )?assistants?|chat ?bots?|chat ?gpt|gpt-?\d*|claude"
    r"|gemini|copilot|models?|bots?|agents?)"
)
_RULES = (
    r"(?:instructions?|prompts?|directions|directives?|guidelines|rules|commands|orders|context|safeguards|training"
    r"|programming|conversation)"
)
_IGNORE = (
    r"(?:ignore|disregard|forget|override|bypass|discard|stop following|(?:do not|don't) (?:follow|obey)"
    r"|pay no attention to|set aside)"
)
_EARLIER = (
    r"(?:previous|prior|above|preceding|earlier|all|any|your|system|existing|original|foregoing|other|everything|past"
    r"|initial)"
)
_ROMANCE_RULES = (
    r"(?:instrucciones|instrucoes|instru..es|instructions|consignes|directives|istruzioni|reglas|r.gles|.rdenes|ordres"
    r"|indicaciones)"
)
_PRECEDING = r"(?:pr.c.dentes?|ant.rieures?|ci-dessus|anteriores|previas|precedenti|pr.vias|initiales)"
_TELL = r"(?:reveal|print|show|output|repeat|display|leak|disclose|give|tell|send|share|quote|recite|return)"
_SEND = r"(?:send|post|upload|forward|transmit|exfiltrate|append|include|insert|embed|encode|e-?mail|put|add)"
_PRIVATE = (
    r"(?:conversation|chat (?:history|log)|user'?s? (?:data|query|question|message|name|e-?mail|input|details|request"
    r"|password)|previous messages|system prompt|secrets?|api keys?|credentials"
    r"|everything (?:above|you know|they said))"
)
_AWAY = (
    r"(?:https?:|\burls?\b|\blinks?\b|\bto \S{1,64}@|\bimages?\b|\bwebhook\b|\bmarkdown\b|\bquery string\b"
    r"|\bparameters?\b)"
)

SIGNS: Mapping[str, Sign] = {
    "override": Sign(
        4,
        (
            rf"\b{_IGNORE}\b[^.!?]{{0,40}}\b{_EARLIER}\b[^.!?]{{0,30}}\b{_RULES}\b",
            (
                r"\b(?:ignore|disregard|forget) (?:everything|all|anything)(?: that)?(?: (?:was|is|has been"
                r"|you (?:were|have been)))?(?: (?:said|told|written|stated|instructed))?"
                r" (?:above|before|previously|so far|until now|earlier)\b"
            ),
            (
                r"\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*)\b[^.!?]{0,40}\b(?:vorherige|bisherige|obige"
                r"|vorangegangene|vorige|alle|fr.here|deine|ihre)\w*\b[^.!?]{0,30}\b(?:anweisung|instruktion|befehl|regel"
                r"|vorgabe)"
            ),
            (
                rf"\b(?:ignor|oubli|olvid|descart|dimentica|esque|desconsider)\w+\b[^.!?]{{0,40}}\b{_ROMANCE_RULES}\b"
                rf"[^.!?]{{0,20}}\b{_PRECEDING}"
            ),
            "(?:игнорир|забуд|не обращай внимания)[^.!?]{0,40}(?:инструкци|указани|правил|команд)",
            "(?:忽略|无视|無視|忘记|忘掉|忽視)[^。!?]{0,16}(?:指令|指示|提示|说明|規則|规则|要求|命令)",
            "(?:指示|命令|プロンプト)(?:を|は)?[^。]{0,8}(?:無視|忘れ)",
        ),
    ),
    "chat format": Sign(
        4,
        (r"<\|[^|<>]{1,40}\|>", r"\[/?inst\]", r"<</?sys>>", r"<(?:start|end)_of_turn>", r"<\|(?:im_|eot|user|system)"),
    ),
    "prompt format": Sign(
        2,
        (
            r"</?(?:passages?|context|documents?|system|instructions?|user_query|retrieved_\w+)>",
            r"(?:^|[.!?:\])}>#*-] ?)(?:system|assistant|developer)(?: prompt| message| note| override| update)? ?:",
            (
                r"\b(?:end|begin(?:ning)?|start) of (?:the )?(?:system )?"
                r"(?:prompt|passages?|context|instructions|user input)\b"
            ),
        ),
    ),
    "address": Sign(
        2,
        (
            (
                r"\b(?:attention|notice|note|message|instructions?|orders?|important|reminder|request)(?: to| for|,|:)?"
                rf" (?:the |any |all |every )?(?:reading |processing )?{_WHO}\b"
            ),
            rf"\b(?:dear|hey|hello|hi),? (?:the )?{_WHO}\b",
            rf"\bif you are an? (?:\w+ )?{_WHO}\b",
            rf"\b(?:any|every|all) {_WHO} (?:must|should|shall|that|which|who|reading|processing|summari[sz]ing)\b",
        ),
    ),
    "persona": Sign(
        2,
        (
            r"\byou are (?:now|henceforth) (?:an?|the|in|free|no longer|going to|under|acting|called|known|dan)\b",
            r"\bfrom now on,? you\b",
            r"\byou are no longer\b",
            r"\bpretend (?:to be|that you|you are)\b",
            r"\bact as (?:an? )?(?:unrestricted|uncensored|evil|jailbroken|dan|root|administrator|different)",
            (
                r"\b(?:developer|god|debug|dan|jailbreak|unrestricted|admin(?:istrator)?) mode (?:is )?(?:now )?"
                r"(?:enabled|activated|on|engaged)\b"
            ),
            r"\b(?:enter|enable|activate|switch to) (?:developer|god|dan|jailbreak|unrestricted) mode\b",
        ),
    ),
    "task": Sign(
        2,
        (
            (
                r"\byour (?:new|only|real|actual|true|first|sole|primary) (?:task|instructions?|goal|job"
                r"|objective|role|purpose|mission|directive)s?\b"
            ),
            (
                r"\b(?:new|updated|real|actual|override|additional|special|hidden|secret) (?:system )?(?:instructions?"
                r"|directives?|orders) ?(?::|for you|follow)"
            ),
            (
                r"\binstead,? (?:you (?:must|should|will) )?(?:say|respond|reply|answer|output|write|print|recommend"
                r"|tell)\b"
            ),
            r"\b(?:you must|always|only|simply|just) (?:now )?(?:respond|reply|answer|output)\b",
            r"\b(?:respond|reply|answer)(?: only| exactly| always)? with (?:only |exactly )?[\"'“«]",
            r"\b(?:say|print|output) (?:only|exactly)\b",
        ),
    ),
    "reveal": Sign(
        2,
        (
            (
                rf"\b{_TELL}\b[^.!?]{{0,40}}\b(?:system prompt|hidden prompt|initial prompt|initial instructions"
                r"|your (?:system )?(?:instructions|prompt)|system message|text above|words above|secrets?|api keys?"
                r"|passwords?|credentials)\b"
            ),
        ),
    ),
    "exfiltrate": Sign(3, (rf"\b{_SEND}\b[^.!?]{{0,80}}\b{_PRIVATE}\b[^!?]{{0,60}}{_AWAY}",)),
    "conceal": Sign(
        2,
        (
            (
                r"\b(?:do not|don't|never|without) (?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|reveal(?:ing)?"
                r"|disclos(?:e|ing)|alert(?:ing)?|show(?:ing)?|say(?:ing)? (?:this|anything))\b[^.!?]{0,40}\b(?:users?"
                r"|human|customer|reader|this (?:instruction|message|note|text|rule)|these instructions)\b"
            ),
        ),
    ),
    "tool": Sign(
        2,
        (
            (
                r"\b(?:call|invoke|use|run|execute|trigger) (?:the |your |a |this )?(?:following )?(?:\w+ )?(?:tool"
                r"|function|plugin|command|shell|code)\b[^.!?]{0,60}\b(?:delete|send|transfer|wire|e-?mail"
                r"|http|curl|rm -rf|payment|purchase|download|password|immediately)\b"
            ),
        ),
    ),
}

NEGATED = (
    r"\b(?:never|not|n't|cannot|no one should|nobody should) (?:\w+ ){0,2}?"
    r"(?:ignore|disregard|forget|override|bypass|discard)\b|(?:不要|请勿|不得|切勿)(?:忽略|无视|無視|忘记|忽視)"
)
"""`Never ignore the instructions of the fire warden`."""

DISCUSSES = (
    r"\b(?:prompt[- ]injections?|injection attacks?|indirect injections?|jailbreak\w*|attackers?|adversar\w+|malicious"
    r"|threat models?|red[- ]team\w*|owasp|social engineering|hackers?|exploits?)\b|注入攻击|提示注入"
)
"""A passage about attacks, which may be a handbook or pretend to be one."""

REPORTS = (
    r"\b(?:attackers?|adversar(?:y|ies)|injections?|hackers?|jailbreaks?|payloads?|malicious \w+|attacks?|phrases?"
    r"|texts?|e-?mails?|documents?|pages?|examples?)\b[^.!?]{0,60}?\b(?:may|might|can|could|would|tr(?:y|ies|ied)"
    r"|attempts?|tells?|telling|told|instructs?|instructing|asks?|asking|says?|saying|such as|like|contains?|containing"
    r"|that|which|to)\b"
)
"""A sentence of such a passage that tells what somebody may say."""
