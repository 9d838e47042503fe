{#- Which addresses are strangers'. -#}

{#- A condition: the address is of the internet: neither private, carrier-grade, link-local, loopback,
    multicast or reserved, nor that by which Azure's own platform speaks to a machine. -#}
{% macro is_internet(ip) %}
  {%- set others = [
      '(0|10|127)[.]', '100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]', '169[.]254[.]',
      '172[.](1[6-9]|2[0-9]|3[01])[.]', '192[.]168[.]', '(22[4-9]|2[3-5][0-9])[.]',
      '168[.]63[.]129[.]16$', '::1?$', 'f[cdf][0-9a-f]*:', 'fe[89ab][0-9a-f]*:',
  ] -%}
  {{ return("not " ~ adapter.dispatch('matches', 'flow_pipeline')(ip, '^(' ~ others | join('|') ~ ')')) }}
{% endmacro %}

{% macro duckdb__matches(text, pattern) %}
  {{ return("regexp_matches(" ~ text ~ ", '" ~ pattern ~ "')") }}
{% endmacro %}

{% macro default__matches(text, pattern) %}
  {{ return("(" ~ text ~ " rlike '" ~ pattern ~ "')") }}
{% endmacro %}
