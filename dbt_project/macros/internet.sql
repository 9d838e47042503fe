{#- Which addresses are strangers'. -#}

{#- A condition: the address is of the internet: neither private, carrier-grade, link-local, loopback,
    multicast, unique-local or reserved, nor one by which Azure's own platform speaks to a machine.
    Azure's public addresses are, and so are those that documentation uses.

    Needs no join, so that it can be asked of every flow. It agrees with `enrichment.address_class`
    on every canonical address, and a test holds the two together. An IPv4 address written as IPv6
    (`::ffff:…`) is reserved there, and so no address of the internet here. -#}
{% macro is_internet(ip) %}
  {%- set others = [
      '(0|10|127)[.]', '100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]', '169[.]254[.]',
      '172[.](1[6-9]|2[0-9]|3[01])[.]', '192[.](168|0[.]0)[.]', '198[.]1[89][.]',
      '(22[4-9]|2[3-5][0-9])[.]', '168[.]63[.]129[.]16$',
      '[0-9a-f]{0,3}:', '[^23][0-9a-f]{3}:', '2001:(1[0-9a-f]{2}|[0-9a-f]{0,2}):',
  ] -%}
  {#- What IPv6 has outside its public part, and leads to public IPv4 (NAT64). -#}
  {%- set nat64 = '^64:ff9b::[0-9a-f]{0,4}(:[0-9a-f]{1,4})?$' -%}
  {%- set matches = adapter.dispatch('matches', 'flow_pipeline') -%}
  {{ return("(not " ~ matches(ip, '^(' ~ others | join('|') ~ ')') ~ " or " ~ matches(ip, nat64) ~ ")") }}
{% endmacro %}

{% macro duckdb__matches(text, pattern) %}
  {{ return("regexp_matches(" ~ text ~ ", '" ~ pattern ~ "')") }}
{% endmacro %}

{% macro default__matches(text, pattern) %}
  {{ return("(" ~ text ~ " rlike '" ~ pattern ~ "')") }}
{% endmacro %}


{#- The first half of an IPv4 address (a /16), the first two groups of an IPv6 address (a /32): wide
    enough that a company's own addresses are in few of them. -#}
{% macro wide_network(ip) -%}
  case
        when {{ ip }} like '%:%' then concat(split_part({{ ip }}, ':', 1), ':', split_part({{ ip }}, ':', 2))
        else concat(split_part({{ ip }}, '.', 1), '.', split_part({{ ip }}, '.', 2))
    end
{%- endmacro %}
