"""Questions that are only ever measured, with the built-in route that a person would choose for each, by kind.

Written as a stranger would: after the routes' descriptions and before reading their examples, the labelled questions
of `benchmarks/labelled_intents.py` or the classifier; committed before any was changed again, and not edited since.
What a question *asks for* is its label, not what it mentions.

`plain`: a sentence. `short`: keywords, as typed into a search box. `long`: with its story around it. `typo`: as the
thumb left it. `indirect`: polite, or never said outright. `near`: mentions prices or food and is about neither.
`mixed`: mentions both and asks for one. `other`: about nothing that a route is for. `language`: not English.
"""

from __future__ import annotations

from typing import NamedTuple


class Labelled(NamedTuple):
    kind: str
    route: str
    query: str


def read_labelled(text: str) -> tuple[Labelled, ...]:
    names = {"P": "PRICE_COMPARE", "D": "DIET_NUTRITION", "G": "GENERAL"}
    rows = [line.split(" ", 2) for line in text.strip().splitlines()]
    return tuple(Labelled(kind, names[route], query) for kind, route, query in rows)


HELD_OUT_FRESH = read_labelled("""
plain P What would a decent road bike set me back these days?
plain P Is the refurbished model really better value than a new one?
plain P Who sells AA batteries for less, the supermarket or the hardware store?
plain P What do people usually pay for a haircut in Boston?
plain P Are these headphones ever discounted?
plain P Could I save anything by ordering two at once?
plain P Is it worth paying extra for the extended warranty?
plain P What's the going rate for a used 2018 Civic?
plain P Does the price you quoted include shipping and tax?
plain P Which supermarket has the lowest total for a weekly shop?
plain P Will flights to Lisbon get any cheaper if I wait until March?
plain P How does your monthly fee compare with what other providers ask?
plain P Do students get money off the annual plan?
plain P I want a 55-inch television for under six hundred dollars, what are my options?
plain P What is the difference in cost between the small and the large size?
short P ps5 price
short P cheapest electricity tariff
short P dishwasher deals
short P ikea billy bookcase how much
short P best budget phone under 300
short P coupon code shoes
short P compare mattress prices
short P petrol cost per litre today
short P iphone 15 vs 14 price difference
short P wholesale coffee beans cost
long P My old vacuum finally died after eleven years, so I went to two shops yesterday and one wanted 249 for a Miele \
while the other had something similar for 199 with a free set of bags. Which of those is the better deal?
long P We are moving in July with a two-bedroom flat's worth of furniture, third floor, no lift, about forty \
kilometres. I have no idea what removal firms ask for that sort of thing. What should I expect to be charged?
long P I found the same jacket in your shop and on a marketplace, there it is 30 euros less but postage comes on top \
and returns aren't free. All in all, where do I pay less?
long P I've been going back and forth between leasing and buying a small electric car for my commute, about 12,000 km \
a year, and what I really want to know is which of the two comes out cheaper over four years.
long P Hi there, last week there was a banner on the start page about a spring sale and I think the garden chairs \
were in it, but now I can't see it any more. Is there still a reduction on them or have I missed it?
typo P hwo much is teh blue sofa
typo P cheepest place too by printer ink
typo P wats the prise of a samsng galxy
typo P any dicsounts on runing shoes rn
typo P how mcuh do u charge for delivrey
typo P is ther a beter deal somwhere els
indirect P Would you be so kind as to tell me what I'd have to pay for two adult tickets?
indirect P I'm afraid I can't spend more than fifty on a birthday present, do you have a drill in that region?
indirect P My brother says he got the same camera for half of what I paid.
indirect P That seems like a lot of money for a toaster.
indirect P I'd be grateful to know whether there is a less expensive alternative to this printer.
indirect P Before I sign up, could you give me a rough idea of the fees?
indirect P I'm on a tight budget and need a bed by Friday.
mixed P Where can I pick up almond milk without paying a fortune?
mixed P What does a kilo of chicken breast go for at Lidl compared with Aldi?
mixed P Are meal kits cheaper than buying the groceries yourself?
mixed P I eat gluten free, which shop has the cheapest gluten-free bread?
mixed P How much is a consultation with a dietitian?
mixed P protein powder 2kg best price
mixed P Is organic fruit worth the extra money, price-wise, at your store?
mixed P Which of the two vitamin D supplements costs less per tablet?
mixed P What would the keto box cost me per month?
language P Was kostet ein neuer Kühlschrank ungefähr?
language P Wo bekomme ich diese Schuhe günstiger?
language P Combien coûte l'abonnement mensuel ?
language P ¿Cuál es la tienda más barata para comprar un portátil?
language P Quanto costa spedire un pacco in Svizzera?
language P Qual é o preço deste telemóvel?
plain D Is oatmeal a good choice before a morning run?
plain D How much iron does a pregnant woman need each day?
plain D What can somebody with coeliac disease order at a Thai restaurant?
plain D Does cooking broccoli destroy its vitamins?
plain D Which nuts have the least fat?
plain D I'm lactose intolerant, can I still have hard cheese?
plain D What should I have for dinner if I'm trying to lose weight?
plain D Are lentils a complete protein?
plain D How bad is it to skip breakfast?
plain D How many grams of sugar are in a can of cola?
plain D Can toddlers have honey?
plain D What foods should I avoid with high cholesterol?
plain D Is there any soy in this chocolate bar?
plain D What's a healthy snack for kids after school?
plain D Do I need supplements on a plant-based diet?
short D avocado kcal
short D high fibre foods
short D low sodium lunch ideas
short D is tofu healthy
short D peanut allergy substitute
short D omega 3 sources vegetarian
short D carbs in rice vs quinoa
short D keto friendly fruit
short D daily protein intake woman 60kg
short D diabetic breakfast
long D My doctor told me last week that my blood pressure is too high and that I ought to cut down on salt, but \
nearly everything I like is out of a tin. What could I put on the table instead, for a family of four?
long D I've started going to the gym three times a week and always feel dizzy about an hour in. A friend says I \
should have something with carbohydrates beforehand, another swears by training on an empty stomach. What's right?
long D Our daughter is fourteen and has just decided that she won't touch meat or fish any more. We respect that, \
only I worry that she doesn't get enough B12 and iron while she's growing. What should we look out for?
long D For a dinner on Saturday I've got one guest who can't have nuts, one who avoids gluten and one who is vegan, \
so I'm rather lost about what would suit all three of them.
long D I read on the back of the packet that one portion has 14 g of fat of which 6 g saturated and I honestly don't \
know whether that's a lot for a grown man who sits at a desk all day.
typo D how many caloreis in a bagle
typo D is bananna good 4 diabetis
typo D vegitarian protien sorces
typo D can i eat egs evry day
typo D whats helthier buter or margerine
typo D glutin free graines list
indirect D I always feel so heavy and tired after lunch.
indirect D Would you mind telling me whether the soup has any dairy in it?
indirect D My cholesterol came back at 240 and I love cheese.
indirect D I'd like to put on a bit of muscle, what belongs on my plate?
indirect D Could you kindly suggest something light for this evening, I had a huge lunch?
indirect D My son breaks out in hives whenever he has strawberries.
indirect D I was wondering whether white bread is really as bad as everybody says.
mixed D The salmon was on offer so I bought two kilos, is it all right to have it every day?
mixed D Ground beef at 80/20 is cheaper, but how much more fat does it have than the lean one?
mixed D Is expensive olive oil any healthier than the cheap kind?
mixed D I can't afford much, which nutrients am I likely to miss living on pasta and rice?
mixed D Does the discounted yoghurt contain gelatine?
mixed D How much protein is there in a five-dollar burger?
mixed D Never mind what it costs, which fish has the least mercury?
mixed D Comparing almond and oat milk: which one has fewer carbs?
mixed D Are frozen vegetables as nutritious as the pricier fresh ones?
language D Wie viel Eiweiß brauche ich am Tag?
language D Ist Vollkornbrot gesünder als Weißbrot?
language D Combien de calories y a-t-il dans une pomme ?
language D ¿Qué puedo comer si soy alérgico a los frutos secos?
language D Quali alimenti contengono molta vitamina C?
language D Is havermelk geschikt voor mensen met suikerziekte?
near G How do I change my password?
near G What does CPI measure?
near G Why was my card declined at the checkout?
near G Who invented the barcode?
near G Explain price elasticity to a high school student.
near G I'd like to return the blender I ordered last week.
near G Where can I download my invoices?
near G How do I get red wine out of a white shirt?
near G What temperature should I roast a chicken at?
near G Which wine region is Barolo from?
near G Write a funny poem about a hungry cat.
near G Why do onions make you cry?
near G How does inflation affect savings accounts?
near G Translate 'the bill, please' into Japanese.
near G What is the origin of the word salary?
near G How do supermarkets decide where to put products on the shelf?
near G How long can cooked rice stay in the fridge?
near G Who wrote Charlie and the Chocolate Factory?
near G My order of groceries hasn't arrived yet.
near G How do I cancel my subscription?
near G What is the apple tree's scientific name?
near G Which country exports the most bananas?
near G Can you recommend a book about the history of money?
near G What does gross margin mean in accounting?
near G How do I train my puppy not to beg at the table?
near G Is there a vegetarian restaurant near the station that is open on Sundays?
near G I was charged twice for the same order, please refund one.
near G How do I set up a price alert in Python with an API?
near G What colour is a ripe papaya?
near G Do you accept PayPal?
other G What's the weather going to be like tomorrow?
other G How do I reset my router?
other G Tell me a joke.
other G Who won the World Cup in 2014?
other G Summarise the second chapter of Moby Dick.
other G What's the capital of Mongolia?
other G Thanks, that was very helpful!
other G hello
other G Can you fix the bug in this function?
other G How far is the moon from the earth?
other G What are your opening hours?
other G I need to talk to a human.
other G What time zone is Denver in?
other G How do I write a cover letter?
other G Convert 15 miles to kilometres.
other G Does the contract end automatically after two years?
short G login not working
short G opening hours sunday
short G change delivery address
short G python list comprehension
short G track parcel
short G where is my order
short G delete account
short G bread maker manual pdf
short G who are you
typo G i forgott my pasword
typo G wen dose the store opn
typo G cant log in to my acount
typo G how to conect bluetoth headfones
long G I've been a customer for some years now and have never had trouble, but since the update on Monday the app \
closes itself as soon as I open the basket. I've restarted the phone twice and installed it again. What else can I try?
long G We'd like to repaint the kitchen before the new fridge comes, and the walls are quite greasy around the stove. \
Do we have to wash them first, and what kind of primer holds on a surface like that?
long G My grandmother kept a diary about running a grocer's in the thirties, with all sorts of notes about rationing \
and shop prices, and I'd like to turn it into a small book. How does one find a publisher for something like that?
long G I bought a coffee machine here in May, it worked beautifully until yesterday, and now it leaks from the bottom \
whenever I fill the tank. I still have the receipt. Is that covered by the guarantee and where do I send it?
indirect G It would be lovely if somebody could call me back this afternoon.
indirect G I can't seem to find the form for changing my name.
indirect G Would you mind explaining what this error 503 means?
indirect G I wonder how people found their way before there were maps.
language G Wie setze ich mein Passwort zurück?
language G À quelle heure ouvre le magasin ?
language G ¿Quién escribió Don Quijote?
language G Mi può aiutare a scrivere una lettera?
language G Waar blijft mijn bestelling?
language G Como faço para encerrar a minha conta?
""")
