{#- Addresses and prefixes as bits, so that `prefix holds address` is an equality of texts.

    A text begins with the family (4 or 6); behind it stand 32 or 128 bits as `0` and `1`, or as many
    as a prefix fixes. -#}

{#- How many groups stand between the colons of a part of an IPv6 address. -#}
{% macro groups_of(text) -%}
  case when {{ text }} = '' then 0 else length({{ text }}) - length(replace({{ text }}, ':', '')) + 1 end
{%- endmacro %}

{#- Letters that are no digits stand in for the digits first: what a digit becomes holds digits. -#}
{% macro hex_bits(text) -%}
  {%- set bits = namespace(sql="translate(" ~ text ~ ", '0123456789abcdef', 'ghijklmnopqrstuv')") -%}
  {%- for letter in 'ghijklmnopqrstuv' -%}
    {%- set n = loop.index0 -%}
    {%- set four = (n // 8) ~ '' ~ ((n // 4) % 2) ~ ((n // 2) % 2) ~ (n % 2) -%}
    {%- set bits.sql = "replace(" ~ bits.sql ~ ", '" ~ letter ~ "', '" ~ four ~ "')" -%}
  {%- endfor -%}
  {{ bits.sql }}
{%- endmacro %}

{#- The address before a prefix's slash. -#}
{% macro address_of(prefix) -%}
  split_part({{ prefix }}, '/', 1)
{%- endmacro %}

{#- How many characters of such a text an address or prefix fixes. -#}
{% macro prefix_bits_count(prefix) -%}
  1 + case
        when {{ prefix }} like '%/%' then cast(split_part({{ prefix }}, '/', 2) as integer)
        when {{ prefix }} like '%:%' then 128
        else 32
    end
{%- endmacro %}

{#- A condition: an address of which the bits are given is public, as feeds are judged by. The
    prefixes are those of `enrichment.feed_formats`, and a test holds the two together. -#}
{% macro is_public_bits(bits) -%}
  {%- set own = [
      '00000000', '00001010', '0110010001', '01111111', '1010100111111110', '101011000001',
      '110000000000000000000000', '1100000010101000', '110001100001001', '111'
  ] -%}
  (
        {{ bits }} like '6001%'
        or (
            {{ bits }} like '4%'
            {%- for prefix in own %}
            and {{ bits }} not like '4{{ prefix }}%'
            {%- endfor %}
        )
    )
{%- endmacro %}
