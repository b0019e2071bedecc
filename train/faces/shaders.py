"""GLSL for the renderer. A first pass writes what the surface is, a second lights each pixel once.

Faces have many small triangles, and the software rasterizer shades whole 4x4 blocks for each: lighting in the first
pass would be paid several times over.
"""

SURFACE_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;   // camera frame, cm
in vec4 shading;    // normal times ambient visibility, then visibility of the key light
in float wrinkle;   // strength of furrows
in vec2 place;      // texture coordinate; x has twice the part added
out vec4 v_shading;
out vec4 v_place;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_shading = shading;
    v_place = vec4(place, wrinkle, 0.0);
}
"""

SURFACE_FRAGMENT = """
#version 330
in vec4 v_shading;
in vec4 v_place;
layout(location = 0) out vec4 surface;
layout(location = 1) out vec4 where;
void main() {
    surface = v_shading;
    where = v_place;
}
"""

SCREEN_VERTEX = """
#version 330
out vec2 screen;
void main() {
    vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
    screen = corner;
    gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}
"""

LIGHT_FRAGMENT = """
#version 330
uniform sampler2D surface_map;
uniform sampler2D where_map;
uniform sampler2D albedo_map;    // sqrt of linear RGB, gloss
uniform sampler2D detail_map;    // normal offset, cavity
uniform sampler2D wrinkle_map;     // normal offset, darkness
uniform sampler2D background_map;  // sqrt of linear RGB
uniform mat3 head;               // head frame to camera frame
uniform vec3 key_direction, key_colour, fill_direction, fill_colour, sky_colour, ground_colour;
uniform vec3 gain;               // exposure times white balance
uniform vec3 iris_colour, teeth_colour;
uniform float iris_radius, mouth_light, wrinkle_gain;
in vec2 screen;
out vec4 colour;

vec3 offset(vec4 texel) { return texel.xyz * 2.0 - 1.0; }

void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 surface = texelFetch(surface_map, pixel, 0);
    vec4 where = texelFetch(where_map, pixel, 0);
    float open = length(surface.xyz);
    vec3 seen = texture(background_map, screen).rgb;
    seen *= seen;
    if (open > 0.0) {
        float part = floor(where.x * 0.5);
        vec2 place = vec2(where.x - 2.0 * part, where.y);
        vec3 normal = surface.xyz / open;
        vec2 uv = part < 0.5 ? vec2(place.x, 1.0 - place.y) : place * 0.7;
        vec4 detail = texture(detail_map, uv);
        vec3 albedo = vec3(0.2, 0.05, 0.05);
        vec3 wrap = vec3(0.28, 0.17, 0.13);
        float gloss = 0.2, sharpness = 24.0, key_seen = surface.w;
        if (part < 0.5) {
            vec4 skin = texture(albedo_map, uv);
            vec4 wrinkle = texture(wrinkle_map, uv);
            float strength = where.z * wrinkle_gain;
            vec3 bent = offset(detail) * 0.9 + offset(wrinkle) * strength * 1.6;
            normal = normalize(normal + head * bent);
            float furrow = min(wrinkle.a * strength, 0.8);
            albedo = skin.rgb * skin.rgb;
            albedo *= mix(vec3(1.0), vec3(0.66, 0.55, 0.52), furrow);
            open *= (1.0 - 0.35 * furrow) * (1.0 - detail.a * 0.6);
            gloss = skin.a;
        } else if (part < 1.5) {
            vec2 p = place - vec2(1.0);
            float r = length(p) / iris_radius;
            float streak = 0.85 + 1.2 * (detail.x + detail.y - 1.0);
            vec3 sclera = vec3(0.47, 0.42, 0.40) - vec3(0.02, 0.12, 0.12) * smoothstep(0.5, 0.95, abs(p.x));
            float ring = mix(1.25, 0.45, smoothstep(0.6, 1.0, r));
            vec3 iris = iris_colour * streak * ring * (0.8 - 0.27 * p.y / iris_radius);
            iris *= smoothstep(0.36, 0.46, r);
            albedo = mix(iris, sclera, smoothstep(0.93, 1.07, r));
            wrap = vec3(0.25);
            gloss = 1.6; sharpness = 180.0;
            vec3 bulge = head * vec3(p, 0.0);
            normal = normalize(normal + bulge * (1.0 - smoothstep(0.7, 1.1, r)) * 0.5);
        } else if (part < 2.5) {
            albedo = teeth_colour * 0.6; gloss = 0.7; sharpness = 60.0;
            open *= mouth_light; key_seen *= mouth_light; wrap = vec3(0.4);
        } else if (part < 3.5) {
            albedo = vec3(0.40, 0.15, 0.14); gloss = 0.4; sharpness = 40.0;
            open *= mouth_light * 0.8; key_seen *= mouth_light * 0.5;
        } else {
            albedo = vec3(0.16, 0.03, 0.03); open *= mouth_light * 0.35; key_seen *= mouth_light * 0.2; gloss = 0.0;
        }
        float towards_key = dot(normal, key_direction);
        vec3 diffuse = max((towards_key + wrap) / (1.0 + wrap), 0.0);
        vec3 light = key_colour * diffuse * key_seen;
        light += fill_colour * max((dot(normal, fill_direction) + wrap) / (1.0 + wrap), 0.0) * (0.3 + 0.7 * open);
        vec3 ambient = mix(ground_colour, sky_colour, 0.5 + 0.5 * normal.y);
        // Light that bounces between folds of skin takes its colour: dark places turn red before they turn black.
        light += ambient * mix(vec3(open), vec3(sqrt(open), open, open), 0.35);
        seen = albedo * light;
        vec3 halfway = normalize(key_direction + vec3(0.0, 0.0, 1.0));
        float facing = max(dot(normal, halfway), 0.0);
        float rim = 1.0 - max(normal.z, 0.0);
        seen += key_colour * key_seen * gloss * 0.16 * facing / (sharpness - sharpness * facing + facing);
        seen += ambient * gloss * open * (0.012 + 0.10 * rim * rim * rim);
    }
    colour = vec4(sqrt(seen * gain), 1.0);  // the tone curve follows on fewer pixels, from a table
}
"""

STRAND_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
in vec4 paint;      // display RGB, opacity
out vec4 v_paint;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_paint = paint;
}
"""

STRAND_FRAGMENT = """
#version 330
in vec4 v_paint;
out vec4 colour;
void main() { colour = v_paint; }
"""

DEPTH_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
void main() { gl_Position = projection * vec4(position, 1.0); }
"""

DEPTH_FRAGMENT = """
#version 330
void main() {}
"""
